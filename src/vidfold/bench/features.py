"""How well folded tokens represent all tokens of a video, in feature space, without a language model."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.bench.clips import Sample
from vidfold.bench.settings import Fold
from vidfold.checks import check_count
from vidfold.tokens import Reduction, VideoTokens
from vidfold.transport import cosine, sinkhorn

COVERED = 0.90
"""Least cosine similarity at which a token counts as covered."""
_ENTRIES = 1 << 24
"""Maximum entries of one cost matrix: 64 MB in float32. A video of 64 frames of 14 x 14 tokens folded to a tenth
needs less."""


def features(tokens: VideoTokens, reduction: Reduction, *, entries: int = _ENTRIES) -> dict[str, float]:
    """`quantisation_error`, `coverage` and ``transport`` (`transport_cost`) of one video, from its F*N pooled tokens.

    Newlines are left out on both sides.

    Args:
        tokens: the video.
        reduction: the folded video.
        entries: maximum entries of a matrix between tokens and folded tokens, which limits memory.
    """
    everything = tokens.pooled().flatten(0, 1)
    kept = reduction.tokens[reduction.cells < tokens.cells]
    nearest = nearest_cosine(everything, kept, entries=entries)
    return {
        "quantisation_error": quantisation_error(nearest),
        "coverage": coverage(nearest),
        "transport": transport_cost(everything, kept, entries=entries),
    }


def measure(sample: Sample, tokens: VideoTokens, folds: Sequence[Fold]) -> list[dict[str, float]]:
    """`features` of every fold; nothing for methods inside the language model."""
    return [features(tokens, fold.reduction) if fold.reduction else {} for fold in folds]


def nearest_cosine(tokens: Tensor, kept: Tensor, *, entries: int = _ENTRIES) -> Tensor:
    """Cosine (M,) float32 of every token (M, D) to the most similar kept one (K, D); a zero token has cosine 0."""
    check_count("entries", entries)
    anchors = functional.normalize(kept.float(), dim=-1).T
    rows = torch.split(tokens, max(1, entries // len(kept)))
    return torch.cat([(functional.normalize(row.float(), dim=-1) @ anchors).amax(1) for row in rows]).clamp(-1, 1)


def quantisation_error(nearest: Tensor) -> float:
    """Nearest-token quantisation error (L2-NQE): mean over tokens x of min over kept y of |x/|x| - y/|y||^2, in [0, 4].

    SimpleCluster (arXiv 2609.35394) compares reduction methods with it. For unit vectors the squared distance is
    2 - 2 cos(x, y), from `nearest_cosine`.
    """
    return float((2 - 2 * nearest).mean())


def coverage(nearest: Tensor, threshold: float = COVERED) -> float:
    """Share of tokens with a kept one at cosine >= ``threshold`` (SimpleCluster: 0.90), from `nearest_cosine`."""
    return float((nearest >= threshold).float().mean())


def transport_cost(
    tokens: Tensor, kept: Tensor, *, epsilon: float = 0.1, iterations: int = 1000, entries: int = _ENTRIES
) -> float:
    """Cost <P, 1 - cos> of the entropic transport plan P from all tokens to the kept ones, both uniform, in [0, 2].

    Unlike in the nearest-token measures, every kept token must represent the same share of the video. Entropy blurs
    the plan, so the cost is not 0 when everything is kept: compare only at the same K.

    Args:
        tokens: (M, D), any float dtype.
        kept: (K, D).
        epsilon: entropic regularisation.
        iterations: maximum iterations of the solver.
        entries: maximum entries of one cost matrix. A longer video is split into parts of evenly spaced tokens, and
            each part is moved to all kept ones: together a plan for the whole video, with one more constraint per part.
    """
    check_count("entries", entries)
    parts = -(-len(tokens) // max(1, entries // len(kept)))
    total = 0.0
    for start in range(parts):
        cost = cosine(tokens[start::parts], kept)[None]
        plan = sinkhorn(cost, epsilon=epsilon, iterations=iterations, tolerance=1e-3).plan
        total += float((plan * cost).sum()) * cost.shape[1] / len(tokens)
    return total
