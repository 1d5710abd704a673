"""What tokens and attention of the tiny model know: ``python -m vidfold.tiny.probe``.

Two numbers decide what the model can say about folding. *Leak*: how many questions it still answers when every token
that shows a thing is taken away; a tower that spreads answers over all tokens makes dropping tokens look free.
*Salience*: how much more attention patches that show a thing receive; methods that choose by attention live on it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vidfold.models import LlavaOnevision
from vidfold.reducers import select
from vidfold.tiny.evaluate import prompts
from vidfold.tiny.model import path
from vidfold.tiny.packing import LABELS, patch_labels
from vidfold.tiny.questions import KINDS, questions
from vidfold.tiny.scenes import SCENES, render, seeds

_THINGS = [number for number, label in enumerate(LABELS) if label not in SCENES]
_DOT = LABELS.index("tiny")


def leak(model: LlavaOnevision, processor: object, clips: range) -> dict[str, float]:
    """Accuracy by kind when no token that shows an object or the dot is left."""
    right, asked = np.zeros(len(KINDS)), np.zeros(len(KINDS))
    for seed in clips:
        clip = render(seed)
        inputs, truth = prompts(processor, clip)  # type: ignore[arg-type]
        (tokens,) = model.encode(inputs)
        index = (tokens.pool(_things(seed, tokens.grid[0])) == 0).flatten().nonzero()[:, 0]
        reduction = select(tokens, index, weights=False)
        output = model.model.generate(
            **model.splice(inputs, [reduction] * len(truth)), max_new_tokens=1, do_sample=False
        )
        kinds = [KINDS.index(question.kind) for question in questions(clip)]
        np.add.at(asked, kinds, 1)
        np.add.at(right, kinds, (output[:, -1] == truth).numpy())
    return dict(zip(KINDS, (right / asked).tolist(), strict=True))


def salience(model: LlavaOnevision, processor: object, clips: range) -> tuple[float, float]:
    """Attention received in the observed layer by patches that show an object or the dot, over that of all others.

    Returns:
        The ratio for objects and dot together, and for the dot alone.
    """
    shown, dots, received = [], [], []
    for seed in clips:
        inputs, _ = prompts(processor, render(seed))  # type: ignore[arg-type]
        (tokens,) = model.encode(inputs, frozenset({"deep"}))
        assert tokens.deep is not None
        received.append(tokens.deep)
        shown.append(_things(seed, tokens.grid[0]) > 0)
        dots.append(torch.from_numpy(patch_labels(render(seed), tokens.grid[0]))[..., _DOT])
    attention, things, dot = torch.cat(received), torch.cat(shown), torch.cat(dots)
    rest = attention[~things].mean()
    return float(attention[things].mean() / rest), float(attention[dot].mean() / rest)


def _things(seed: int, side: int) -> Tensor:
    """(F, side * side) float, 1 where a patch shows an object or the dot."""
    return torch.from_numpy(patch_labels(render(seed), side))[..., _THINGS].any(-1).float()


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    from transformers import AutoProcessor, LlavaOnevisionForConditionalGeneration

    parser = argparse.ArgumentParser(prog="python -m vidfold.tiny.probe", description=__doc__)
    parser.add_argument("--clips", type=int, default=160, help="validation clips (default: 160)")
    parser.add_argument("--model", default=str(path()), help="folder of the model (default: the shipped one)")
    chosen = parser.parse_args(arguments)
    model = LlavaOnevisionForConditionalGeneration.from_pretrained(chosen.model, dtype=torch.float32).eval()
    processor, clips = AutoProcessor.from_pretrained(chosen.model), seeds("validation", chosen.clips)
    depth = model.config.vision_config.num_hidden_layers
    leaked = leak(LlavaOnevision(model), processor, clips)
    print("leak:", ", ".join(f"{kind} {share:.2f}" for kind, share in leaked.items()))  # noqa: T201
    for layer in range(depth):
        things, dot = salience(LlavaOnevision(model, deep_layer=layer), processor, clips)
        print(f"salience in layer {layer}: objects and dot {things:.2f}, the dot alone {dot:.2f}")  # noqa: T201


if __name__ == "__main__":
    main()
