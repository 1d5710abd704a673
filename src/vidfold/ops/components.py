"""Connected components of similarity graphs, for any threshold or any number, from one spanning tree."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class SpanningTree:
    """A maximum spanning tree of each graph of a batch.

    Without its links of at most t it falls into the connected components of the graph "similarity > t": what single
    linkage merges, in its order.

    Attributes:
        parents: (B, n) int64; the root, node 0, is its own.
        links: (B, n) float32, similarity of each node to its parent; -inf for the root.
    """

    parents: Tensor
    links: Tensor

    @classmethod
    def of(cls, similarity: Tensor) -> "SpanningTree":
        """The tree of (B, n, n) float32 symmetric similarities, by Prim's algorithm.

        Serial in the nodes of all graphs, so it runs on the host, with NumPy: a step is five operations on n numbers,
        and those of NumPy start several times faster than those of torch. The host waits for the device once.
        """
        import numpy as np  # this method alone needs it

        graphs = similarity.detach().cpu().numpy()
        links = np.full(graphs.shape[:2], -np.inf, dtype=np.float32)
        parents = np.zeros(graphs.shape[:2], dtype=np.int64)
        for graph, link, parent in zip(graphs, links, parents, strict=True):
            # The best similarity of each node outside the tree to one inside. Inside, it and the bar are -inf.
            offer, bar = graph[0].copy(), np.zeros_like(link)
            offer[0] = bar[0] = -np.inf
            row, better = np.empty_like(link), np.empty_like(link, dtype=np.bool_)
            for _ in range(len(graph) - 1):
                node = offer.argmax()
                link[node] = offer[node]
                offer[node] = bar[node] = -np.inf
                np.add(graph[node], bar, out=row)
                np.greater(row, offer, out=better)
                np.copyto(parent, node, where=better)
                np.maximum(offer, row, out=offer)
        device = similarity.device
        return cls(torch.from_numpy(parents).to(device), torch.from_numpy(links).to(device))

    def strongest(self, count: int) -> Tensor:
        """(B, n) bool, the ``count`` strongest links of all graphs together; of equal ones the first."""
        order = self.links.flatten().argsort(descending=True, stable=True)[:count]
        return torch.zeros_like(self.links, dtype=torch.bool).flatten().index_fill_(0, order, True).view_as(self.links)

    def components(self, joined: Tensor) -> Tensor:
        """A number (B*n,) int64 that all nodes of a component share, where the links ``joined`` (B, n) bool hold.

        It is the flat index of one of its nodes, so graphs have no component in common.
        """
        index = torch.arange(joined.numel(), device=joined.device).view_as(self.parents)
        return roots(torch.where(joined, self.parents + index[:, :1], index).flatten(), joined.shape[1] - 1)


def roots(parents: Tensor, generations: int) -> Tensor:
    """The root (n,) of each node's tree, given the nodes' parents (n,) int64, of roots their own.

    No node is more than ``generations`` steps from its root.
    """
    for _ in range(generations.bit_length()):  # each round doubles the steps
        parents = parents[parents]
    return parents
