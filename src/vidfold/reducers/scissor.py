"""LLaVA-Scissor: one token for every connected component of similar tokens."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.checks import check_threshold, setting
from vidfold.linear import Mix, counts
from vidfold.ops.components import SpanningTree
from vidfold.ops.ranks import by_first_member, first_members
from vidfold.reducers.base import PublishedReducer, select
from vidfold.tokens import Reduction, VideoTokens

_FIRST_GUESS = 1.6
"""First-stage components for each final one; about what videos show."""
_LOOKS = 4
_NEAR = 0.05


@dataclass(frozen=True)
class LLaVAScissor(PublishedReducer):
    """Semantic connected components, in space and then in time (arXiv 2506.21862).

    In each frame, tokens joined by chains of cosine > tau become their mean; these means of all frames are joined
    once more in the same way. Every token of the video then goes to the nearest (cosine) of the survivors, which
    becomes the mean of itself and all tokens that come to it. A survivor stands where the first token of its component
    stood.

    The components are exact, by spanning trees. (The authors' sampling visits all nodes below about 3230 tokens a
    graph, and their union-find loses a few tokens that depend on a random order; both are left out here.) To meet
    ``retention``, each stage has a threshold of its own, near the other: the first is searched for in up to four
    trials, so that it alone would come within 5 % of the budget; the second then cuts the tree at exactly K. Sizes
    depend on the content, so the host waits for the device. Time and memory grow with the square of K.

    Attributes:
        original: threshold ``tau`` in both stages, whatever number of tokens results, and the authors' order:
            by frame, then by the most connected token.
        tau: the original's cosine threshold (0.95 in the authors' code, 0.9 in their README).
    """

    tau: float = setting(0.95, check_threshold)

    name = "llava-scissor"
    published = "LLaVA-Scissor, arXiv 2506.21862"
    idea = "one token a connected component of similar tokens, in the frame, then over time"

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """Merged tokens, in reading order unless ``original``."""
        full = tokens.frames * tokens.cells
        features = tokens.pooled().float()
        flat = features.flatten(0, 1)
        if self.original:
            first, second = _by_threshold(features, self.tau)
            total = int(second.max()) + 1
            labels = second[first]
            places = first_members(labels, total)
        else:
            total = self.count(tokens.frames, tokens.cells)
            if total == full:
                return select(tokens, torch.arange(full, device=flat.device), weights=weights)
            first, second = _by_budget(features, total)
            labels, places = by_first_member(second[first], total)
        # A mean of means: every component of the first stage counts the same.
        survivors = replace(Mix.means(first, len(second)).then(Mix.means(second, total)), target=labels)
        unit = functional.normalize(survivors(flat), dim=-1)
        closest = (functional.normalize(flat, dim=-1) @ unit.T).argmax(1)
        # The mean of the survivor and all that come to it.
        share = 1 / (counts(closest, total) + 1).float()
        mix = Mix(
            target=torch.cat([labels, closest]),
            share=torch.cat([survivors.share * share[labels], share[closest]]),
            sources=full,
            rows=total,
            source=torch.arange(full, device=flat.device).repeat(2),
        )
        return mix.reduction(tokens, features, places, weights=weights)


def _similarities(values: Tensor) -> Tensor:
    """Cosines (B, n, n) of the tokens of each graph (B, n, D)."""
    unit = functional.normalize(values, dim=-1)
    return unit @ unit.transpose(1, 2)


def _by_threshold(features: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """First-stage component (S,) of each token (F, N, D), and second-stage component (M,) of each of those."""
    first = _by_hub(features, tau)
    means = Mix.means(first, int(first.max()) + 1)(features.flatten(0, 1))
    return first, _by_hub(means[None], tau)


def _by_hub(values: Tensor, tau: float) -> Tensor:
    """Components at a threshold, numbered by graph and then by their first token of most neighbours."""
    similarity = _similarities(values)
    tree = SpanningTree.of(similarity)
    labels = tree.components(tree.links > tau)
    degree, none = (similarity > tau).sum(2).flatten(), len(labels)
    most = torch.zeros_like(degree).scatter_reduce_(0, labels, degree, "amax")
    hubs, _ = by_first_member(torch.where(degree == most[labels], labels, none), none)
    return torch.full_like(labels, none).scatter_reduce_(0, labels, hubs, "amin")[labels]


def _by_budget(features: Tensor, total: int) -> tuple[Tensor, Tensor]:
    """The same two stages with exactly ``total`` components in the end."""
    flat, frames = features.flatten(0, 1), SpanningTree.of(_similarities(features))
    full = len(flat)
    fewest = max(total, len(features))
    size = min(full, max(fewest, round(_FIRST_GUESS * total)))
    too_few, enough = fewest - 1, full + 1
    for look in range(_LOOKS):
        joined = frames.strongest(full - size)
        first, _ = by_first_member(frames.components(joined), full)
        video = SpanningTree.of(_similarities(Mix.means(first, size)(flat)[None]))
        if look == _LOOKS - 1:
            break
        # All thresholds from `bottom` to `top` give these components of the first stage. How many would they give of
        # the second?
        top = frames.links.masked_fill(~joined, torch.inf).amin()
        bottom = frames.links.masked_fill(joined, -torch.inf).amax()
        merges = torch.stack([(video.links > threshold).sum() for threshold in (bottom, top)])
        least, most = (size - merges).tolist()
        if least <= (1 + _NEAR) * total and most >= (1 - _NEAR) * total:
            break
        few = most < total
        too_few, enough = (size, enough) if few else (too_few, size)
        size = min(full, max(fewest, round(size * total / (most if few else least))))
        if not too_few < size < enough:
            size = (too_few + enough) // 2
        if size in (too_few, enough):
            break
    found = video.links.numel()
    return first, by_first_member(video.components(video.strongest(found - total)), found)[0]
