"""Other ways to compute less of a vision tower, to compare tower methods with at the same share of its work.

Each takes a tower, what its first layer gets (F, P + N, D) with P tokens such as CLS before the N patches, and a
`Plan`. It gives the states (F, P + N, D) that ``depth`` layers make, and the share of tokens times layers computed.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.models.partial.running import Partial
from vidfold.models.partial.tower import Tower
from vidfold.tower import Plan

NEAREST = 10
"""Kept tokens whose mean change restores a dropped one (IPCV, arXiv 2512.18747)."""
EARLY = 3 / 24
"""Share of the layers before tokens are dropped there."""


def _layers(tower: Tower, depth: int, states: Tensor, first: int = 0) -> Tensor:
    for layer in tower.layers[first:depth]:
        output = layer(states, attention_mask=None)
        states = output[0] if isinstance(output, tuple) else output
    return states


def _copied(states: Tensor, plan: Plan, prefix: int) -> Tensor:
    """States of the frames that stand for each place."""
    frames = torch.cat([plan.source.amax(1, keepdim=True).expand(-1, prefix), plan.source], 1)
    return states[frames, torch.arange(states.shape[1])]


def whole(tower: Tower, depth: int, states: Tensor, plan: Plan) -> tuple[Tensor, float]:
    """The stock tower."""
    return _layers(tower, depth, states), 1.0


def partial(tower: Tower, depth: int, states: Tensor, plan: Plan) -> tuple[Tensor, float]:
    """What the plan says, as the package computes it: others see keys and values of what stands for a place."""
    if bool(plan.computed.all()):
        return whole(tower, depth, states, plan)
    run = Partial(Tower(tower.module, tower.layers, tower.attentions, [tower.layers[depth - 1]], tower.prefix), [plan],
                  states.device)  # fmt: skip
    with run.running():
        return _layers(tower, depth, states), plan.share


def alone(tower: Tower, depth: int, states: Tensor, plan: Plan) -> tuple[Tensor, float]:
    """The same units, but computed tokens see those of their own frame alone."""
    made, prefix = states.clone(), tower.prefix
    for frame, computed in enumerate(plan.computed):
        if bool(computed.any()):
            tokens = torch.cat([torch.ones(prefix, dtype=torch.bool), computed])
            made[frame, tokens] = _layers(tower, depth, states[frame, tokens][None])[0]
    return _copied(made, plan, prefix), plan.share


def fewer_frames(tower: Tower, depth: int, states: Tensor, plan: Plan) -> tuple[Tensor, float]:
    """Evenly chosen whole frames, as many as the plan's share pays for; every other frame is the one before."""
    frames = len(states)
    count = max(1, round(plan.share * frames))
    chosen = torch.arange(count) * frames // count
    before = torch.searchsorted(chosen, torch.arange(frames), right=True) - 1
    return _layers(tower, depth, states[chosen])[before], count / frames


def restored(tower: Tower, depth: int, states: Tensor, plan: Plan) -> tuple[Tensor, float]:
    """Prune and restore, after IPCV: from an early layer on, the patches whose states change most there.

    At the end a dropped patch is its early state plus the mean change of its nearest kept ones. Context is not
    approximated in the layers behind. As many are kept as make the plan's share of the work.
    """
    prefix, early = tower.prefix, max(1, round(EARLY * depth))
    before = _layers(tower, early - 1, states)
    begun = _layers(tower, early, before, early - 1)
    patches = begun.shape[1] - prefix
    part = (plan.share - early / depth) / (1 - early / depth)
    count = min(patches, max(NEAREST, round(part * patches)))
    moved = (begun - before)[:, prefix:].norm(dim=-1)
    kept = moved.topk(count, dim=1).indices.sort(1).values + prefix
    kept = torch.cat([torch.arange(prefix).expand(len(kept), -1), kept], 1)
    index = kept[:, :, None].expand(-1, -1, begun.shape[2])
    starts = begun.gather(1, index)
    ends = _layers(tower, depth, starts, early)
    change = (ends - starts)[:, prefix:]
    near = functional.normalize(begun, dim=-1) @ functional.normalize(starts[:, prefix:], dim=-1).transpose(1, 2)
    nearest = near.topk(NEAREST, dim=2).indices
    mean = torch.stack([each[rows].mean(1) for each, rows in zip(change, nearest, strict=True)])
    return (begun + mean).scatter(1, index, ends), early / depth + (1 - early / depth) * count / patches


KINDS: dict[str, Callable[[Tower, int, Tensor, Plan], tuple[Tensor, float]]] = {
    "still": partial,
    "still, alone": alone,
    "fewer frames": fewer_frames,
    "prune and restore": restored,
}


def run(kind: str, tower: Tower, depth: int, states: Tensor, plan: Plan) -> tuple[Tensor, float]:
    """States of all tokens, and the share computed, by a kind."""
    with torch.no_grad():
        return KINDS[kind](tower, depth, states, plan)
