"""Connected components of similarity graphs, for any threshold or any number, from one spanning tree."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vidfold.ops.ranks import gather_rows


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
        # The best similarity of each node outside the tree to a node inside it. Inside, it and the bar are -inf.
        offer, bar = similarity[:, 0].clone(), torch.zeros_like(links)
        offer[:, 0] = bar[:, 0] = -torch.inf
        for _ in range(nodes - 1):
            best, node = offer.max(1, keepdim=True)
            links.scatter_(1, node, best)
            offer.scatter_(1, node, -torch.inf)
            bar.scatter_(1, node, -torch.inf)
            row = gather_rows(similarity, node)[:, 0].add_(bar)
            parents = torch.where(row > offer, node, parents)
            torch.maximum(offer, row, out=offer)
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
