"""Sequences of which only some tokens are computed: where those stand, and what each of them attends to.

Token states are a table of S rows, in sequences one after the other: frames, or windows of them. A token that is not
computed has the state of another one. So the computed tokens are packed into a table of T rows, and every sequence
attends to all of its places: to its own tokens where they are computed, and to the others' sources elsewhere. There is
no mask: sequences with about as many computed tokens are padded to one number of queries, and all of them have their
full number of keys.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

STEPS = 8
"""Numbers of queries that a sequence is padded to, in parts of its length."""

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Attention of queries (B, H, m, E) to keys and values (B, G, n, E): (B, m, H, E)."""


@dataclass(frozen=True, eq=False)
class Group:
    """Sequences that attend in one call.

    Attributes:
        queries: (B, m) int64, rows of the packed table; the last one repeats where a sequence has fewer.
        keys: (B, n) int64, rows of the packed table.
    """

    queries: Tensor
    keys: Tensor


@dataclass(frozen=True, eq=False)
class Packing:
    """Where the tokens of a table are packed, and who attends to whom.

    Attributes:
        tokens: (T,) int64, the rows of the full table that are computed, ascending.
        copies: (S,) int64, the row of the packed table that stands in each row of the full one.
        groups: every sequence that has a computed token.
        restored: (T,) int64, where each packed row is in the groups' padded queries, one group after the other.
    """

    tokens: Tensor
    copies: Tensor
    groups: tuple[Group, ...]
    restored: Tensor

    @classmethod
    def of(cls, source: Tensor, lengths: Tensor) -> "Packing":
        """The packing of a table.

        Args:
            source: (S,) int64, the row whose state stands in each row; a row that stands for others stands for itself.
            lengths: (G,) int64, the lengths of the sequences; their sum is S.
        """
        own = source == torch.arange(len(source))
        ranks = torch.cat([torch.zeros(1, dtype=torch.int64), own.cumsum(0)])
        copies = ranks[source]
        ends = lengths.cumsum(0)
        starts = ends - lengths
        first, count = ranks[starts], ranks[ends] - ranks[starts]
        part = -(-STEPS * count // lengths)
        groups, places, offset = list[Group](), list[Tensor](), 0
        for length, steps in sorted({*zip(lengths.tolist(), part.tolist(), strict=True)}):
            if not steps:
                continue
            chosen = ((lengths == length) & (part == steps)).nonzero()
            counts = count[chosen]
            step = torch.arange(int(counts.max()))
            queries = first[chosen] + step.minimum(counts - 1)
            groups.append(Group(queries, copies[starts[chosen] + torch.arange(length)]))
            there = step < counts
            places.append(torch.stack([queries[there], there.flatten().nonzero()[:, 0] + offset]))
            offset += queries.numel()
        rows, padded = torch.cat(places, 1)
        return cls(own.nonzero()[:, 0], copies, tuple(groups), padded[rows.argsort()])

    def to(self, device: torch.device) -> "Packing":
        """The same on another device."""
        groups = tuple(Group(each.queries.to(device), each.keys.to(device)) for each in self.groups)
        return Packing(self.tokens.to(device), self.copies.to(device), groups, self.restored.to(device))

    def attend(self, attend: Attend, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attention of the packed tokens.

        Args:
            attend: attention of the sequences of one group.
            query: (T, H, E).
            key: (T, G, E), for G heads; ``value`` likewise.

        Returns:
            (T, H, E).
        """
        parts = [
            attend(_rows(query, each.queries), _rows(key, each.keys), _rows(value, each.keys)).flatten(0, 1)
            for each in self.groups
        ]
        return torch.cat(parts).index_select(0, self.restored)


def _rows(values: Tensor, index: Tensor) -> Tensor:
    """Rows of (T, H, E) by index (B, m): (B, H, m, E)."""
    return values.index_select(0, index.flatten()).view(*index.shape, *values.shape[1:]).transpose(1, 2)


def flat_source(source: Tensor, prefix: int, unit: int) -> Tensor:
    """The source of every token of a video, (F * (prefix + N * unit),) int64.

    Args:
        source: (F, N) int64, the frame whose unit stands at each place; see `vidfold.tower.Plan`.
        prefix: tokens before the units of every frame, such as CLS. They are computed where a unit of the frame is;
            else they are those of the latest frame of which it has a unit.
        unit: tokens of a unit.
    """
    latest = source.amax(1, keepdim=True).expand(-1, prefix)
    frame = torch.cat([latest, source.repeat_interleave(unit, 1)], 1)
    return (frame * frame.shape[1] + torch.arange(frame.shape[1])).flatten()
