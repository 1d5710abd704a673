"""Connected components of similarity graphs, for any threshold or any number, from one spanning tree."""

from __future__ import annotations

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
    def of(cls, similarity: Tensor) -> SpanningTree:
        """The tree of (B, n, n) float32 symmetric similarities, by Prim's algorithm.

        Serial in the n nodes, batched over graphs; the host does not wait.
        """
        batch, nodes, _ = similarity.shape
        links = similarity.new_full((batch, nodes), -torch.inf)
        parents = torch.zeros(batch, nodes, dtype=torch.int64, device=links.device)
        # What the tree offers the nodes outside it; nodes inside take no offers.
        offer = similarity[:, 0].clone()
        inside = torch.zeros(batch, nodes, dtype=torch.bool, device=links.device)
        inside[:, 0] = True
        for _ in range(nodes - 1):
            offer.masked_fill_(inside, -torch.inf)
            best, node = offer.max(1, keepdim=True)
            links.scatter_(1, node, best)
            inside.scatter_(1, node, True)
            row = similarity.gather(1, node[:, :, None].expand(-1, 1, nodes))[:, 0]
            better = (row > offer) & ~inside
            offer = torch.where(better, row, offer)
            parents = torch.where(better, node, parents)
        return cls(parents, links)

    def strongest(self, count: int) -> Tensor:
        """(B, n) bool, the ``count`` strongest links of all graphs together; of equal ones the first."""
        order = self.links.flatten().argsort(descending=True, stable=True)[:count]
        return torch.zeros_like(self.links, dtype=torch.bool).flatten().index_fill_(0, order, True).view_as(self.links)

    def components(self, joined: Tensor) -> Tensor:
        """A node (B, n) int64 that all nodes of a component share, where the links ``joined`` (B, n) bool hold."""
        own = torch.arange(joined.shape[1], device=joined.device).expand_as(self.parents)
        roots = torch.where(joined, self.parents, own)
        for _ in range((joined.shape[1] - 1).bit_length()):
            roots = roots.gather(1, roots)
        return roots
