"""Leak and salience of the tiny model: ``python -m lab.probe``.

Both decide how well the model can compare folding methods. *Leak* is the accuracy after removing every token that
shows an object or a dot; if the tower spreads answers over all tokens, dropping tokens seems to cost nothing.
*Salience* is how much more attention patches with objects or dots receive; methods that choose by attention need it.
"""

import argparse
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lab.asking import prompts
from lab.packing import LABELS, patch_labels
from vidfold.checks import check_count
from vidfold.models import LlavaOnevision, load
from vidfold.reducers import select
from vidfold.tiny.model import path
from vidfold.tiny.questions import KINDS, questions
from vidfold.tiny.scenes import FRAMES, Clip, render, seeds
from vidfold.tiny.worlds import SCENES, WORLDS

_THINGS = [number for number, label in enumerate(LABELS) if label not in SCENES]
_DOT = LABELS.index("tiny")


def leak(model: LlavaOnevision, processor: object, clips: range, frames: int = FRAMES) -> dict[str, float]:
    """Accuracy of every kind that was asked, after removing every token that shows an object or a dot."""
    right, asked = np.zeros(len(KINDS), int), np.zeros(len(KINDS), int)
    for seed in clips:
        clip = render(seed, frames)
        inputs, truth = prompts(processor, clip)  # type: ignore[arg-type]
        (tokens,) = model.encode(inputs)
        index = (tokens.pool(_shown(clip, tokens.grid[0], _THINGS).float()) == 0).flatten().nonzero()[:, 0]
        reduction = select(tokens, index, weights=False)
        output = model.model.generate(
            **model.splice(inputs, [reduction] * len(truth)), max_new_tokens=1, do_sample=False
        )
        kinds = [KINDS.index(question.kind) for question in questions(clip)]
        np.add.at(asked, kinds, 1)
        np.add.at(right, kinds, (output[:, -1] == truth).numpy())
    return {kind: float(right[place] / asked[place]) for place, kind in enumerate(KINDS) if asked[place]}


def salience(model: LlavaOnevision, processor: object, clips: range, frames: int = FRAMES) -> tuple[float, float]:
    """Mean attention that patches with an object or a dot receive, divided by that of all other patches.

    Returns:
        The ratio for objects and dots together, and for dots alone.
    """
    shown, dots, received = [], [], []
    for seed in clips:
        clip = render(seed, frames)
        inputs, _ = prompts(processor, clip)  # type: ignore[arg-type]
        (tokens,) = model.encode(inputs, frozenset({"deep"}))
        assert tokens.deep is not None
        received.append(tokens.deep)
        shown.append(_shown(clip, tokens.grid[0], _THINGS))
        dots.append(_shown(clip, tokens.grid[0], [_DOT]))
    attention, things, dot = torch.cat(received), torch.cat(shown), torch.cat(dots)
    rest = attention[~things].mean()
    return float(attention[things].mean() / rest), float(attention[dot].mean() / rest)


def _shown(clip: Clip, side: int, labels: list[int]) -> Tensor:
    """Whether each patch shows any of the labels, (F, side * side) bool."""
    return torch.from_numpy(patch_labels(clip, side))[..., labels].any(-1)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m lab.probe", description=__doc__)
    parser.add_argument("--clips", type=int, default=160, help="clips of the search split (default: 160)")
    parser.add_argument("--world", choices=WORLDS, default="first", help="(default: first)")
    parser.add_argument("--frames", type=int, default=FRAMES, help=f"frames of every clip (default: {FRAMES})")
    parser.add_argument("--model", default=str(path()), help="folder of the model (default: the shipped one)")
    chosen = parser.parse_args(arguments)
    try:
        clips = seeds("search", chosen.clips, world=chosen.world)
        check_count("frames", chosen.frames)
    except ValueError as error:
        parser.error(str(error))
    model, processor = load(chosen.model, dtype=torch.float32)
    depth = model.config.vision_config.num_hidden_layers
    leaked = leak(LlavaOnevision(model), processor, clips, chosen.frames)
    print("leak:", ", ".join(f"{kind} {share:.2f}" for kind, share in leaked.items()))
    for layer in range(depth):
        things, dot = salience(LlavaOnevision(model, deep_layer=layer), processor, clips, chosen.frames)
        print(f"salience in layer {layer}: objects and dots {things:.2f}, dots alone {dot:.2f}")


if __name__ == "__main__":
    main()
