"""How anchors absorb tokens, once transport has decided which token goes to which anchor.

Merging, blending and pooling are linear in the tokens of a frame. Their small matrices are composed first, so that one
product with the features remains, for the rows that are kept only. What folded tokens are made of can ride along as
marks: columns beside the features, one for each source.
"""

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.linear import Mix
from vidfold.tokens import VideoTokens


def row_shares(plan: Tensor) -> Tensor:
    """A plan (B, M, N) with every row scaled to sum 1; rows without mass stay 0."""
    return plan / plan.sum(2, keepdim=True).clamp_min(torch.finfo(plan.dtype).tiny)


def absorb(anchors: Tensor, tokens: Tensor, sent: Tensor, mass: Tensor | float = 1.0) -> tuple[Tensor, Tensor]:
    """Weighted means of each anchor and what is sent to it: (m x_j + sum_i s_ij x_i) / (m + sum_i s_ij) (AOT, eq. 7).

    Args:
        anchors: (B, N, E).
        tokens: (B, M, E).
        sent: (B, M, N), mass s_ij that token i sends to anchor j, not negative.
        mass: (B, N) or a number, what each anchor weighs itself.

    Returns:
        The new anchors (B, N, E) and their new mass (B, N).
    """
    own = torch.as_tensor(mass, dtype=anchors.dtype, device=anchors.device).expand(anchors.shape[:2])
    total = own + sent.sum(1)
    return (own[:, :, None] * anchors + sent.transpose(1, 2) @ tokens) / total[:, :, None], total


def nearest_shares(cost: Tensor, columns: Tensor) -> Tensor:
    """Everything of each row to the cheapest of the ``columns`` (B, N) bool, by costs (B, M, N): one-hot (B, M, N)."""
    cheapest = cost.masked_fill(~columns[:, None, :], torch.inf).argmin(2)
    return functional.one_hot(cheapest, cost.shape[2]).to(cost.dtype)


def uniform_mass(members: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mass (B, M) that sums to 1 over the members (B, M) bool of each item, 0 elsewhere.

    It is shared in proportion to ``weight`` (B, M), not negative, or equally.
    """
    mass = members.float() if weight is None else members * (weight + 1e-6 * weight.amax(1, keepdim=True) + 1e-12)
    return mass / mass.sum(1, keepdim=True).clamp_min(torch.finfo(mass.dtype).tiny)


def absorbing(sent: Tensor, anchors: Tensor, own: Tensor | float = 1.0) -> tuple[Tensor, Tensor]:
    """Weighted means of each anchor and what is sent to it, as a matrix (AOT, eq. 7).

    Args:
        sent: (F, S, n), mass that each token sends to each anchor, not negative; anchors send nothing.
        anchors: (F, n) int64, the token each anchor is.
        own: (F, n) or a number, what each anchor weighs itself, positive.

    Returns:
        The matrix (F, n, S) with rows of sum 1, and the mass (F, n) of each anchor afterwards.
    """
    mass = own + sent.sum(1)
    mix = (sent / mass[:, None]).transpose(1, 2)
    return mix.scatter(2, anchors[:, :, None], (own / mass)[:, :, None]), mass


def pooling_matrix(tokens: VideoTokens) -> Tensor:
    """What each cell of the language grid takes of every patch, (N, H*W) float32 on the device of the tokens."""
    height, width = tokens.grid
    return tokens.pool(torch.eye(height * width, dtype=torch.float32, device=tokens.features.device)[None])[0]


def surviving(pooling: Tensor, cells: Tensor, anchors: Tensor, mix: Tensor) -> Tensor:
    """What chosen cells are made of, when anchors are merged before pooling.

    Args:
        pooling: (N, S), see `pooling_matrix`.
        cells: (F, n) int64, the cells that survive.
        anchors: (F, T) int64, the patches that are anchors, no patch twice.
        mix: (F, T, S), what each merged anchor is made of; every other patch stays itself.

    Returns:
        (F, n, S).
    """
    rows = pooling[cells]
    columns = anchors[:, None, :].expand(-1, cells.shape[1], -1)
    return torch.baddbmm(rows.scatter(2, columns, 0.0), rows.gather(2, columns), mix)


def spread(marks: Tensor, position: Tensor, longest: int) -> Tensor:
    """Move each frame's marks (F, n, S) to its position (F,) in the clip: (F, n, longest * S)."""
    frames, rows, sources = marks.shape
    columns = position[:, None] * sources + torch.arange(sources, device=marks.device)
    target = marks.new_zeros(frames, rows, longest * sources)
    return target.scatter_(2, columns[:, None, :].expand(frames, rows, sources), marks)


def matrix_of(marks: Tensor, starts: Tensor, sources: int, frames: int, *, newline: bool = False) -> Tensor:
    """The matrix of a fold; waits for the device.

    Args:
        marks: (K, longest * S) of each folded token, relative to the first frame of its clip.
        starts: (K,) int64, that first frame.
        sources: S, marked sources a frame.
        frames: F.
        newline: whether the last source of each frame is the newline, one and the same in all.

    Returns:
        sparse (K, F*S), or (K, F*(S-1) + 1) with the newline last.
    """
    rows, columns = marks.nonzero(as_tuple=True)
    frame, source = starts[rows] + columns // sources, columns % sources
    own = sources - newline
    source = torch.where(source < own, frame * own + source, frames * own)
    return Mix(rows, marks[rows, columns], frames * own + newline, len(marks), source).matrix()
