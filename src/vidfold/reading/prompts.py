"""Prompts up to a question: checked, stretched to other videos, and continued where another one was read."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from vidfold.models import Family
from vidfold.models.base import Inputs
from vidfold.reading.prefix import Layers
from vidfold.reading.wording import Wording
from vidfold.tokens import Reduction

_TOKENS = ("input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids")
"""Inputs (1, L) with one entry a token."""


def single(family: Family, inputs: Inputs, wording: Wording | None = None) -> dict[str, Any]:
    """The inputs of one prompt up to its question, as its processor makes them, without padding.

    Raises:
        ValueError: several prompts, something that is no input of a processor, or a prompt that goes on behind its
            video although ``wording`` words what comes there.
    """
    if unknown := sorted(inputs.keys() - family.pixels - family.said - {*_TOKENS}):
        raise ValueError(f"{unknown[0]} is no input that a processor makes: give settings of answers when asking")
    ids, mask = inputs.get("input_ids"), inputs.get("attention_mask")
    if not isinstance(ids, Tensor) or ids.ndim != 2 or len(ids) != 1:
        shape = tuple(ids.shape) if isinstance(ids, Tensor) else type(ids).__name__
        raise ValueError(f"input_ids must be (1, length), one prompt with its video, got {shape}: read each by itself")
    found = dict(inputs)
    if mask is not None and not bool(mask.all()):
        kept = mask[0].bool()
        found |= {name: inputs[name][:, kept] for name in _TOKENS if inputs.get(name) is not None}
    found = dict(family.prepared(found))
    if wording is not None:
        places = family.places(found)[0].nonzero()[:, 0]
        text = found["input_ids"][0, int(places[-1]) + 1 :] if len(places) else found["input_ids"][0]
        tokenizer = wording.processor.tokenizer
        marks = set(tokenizer.get_added_vocab().values()) - {tokenizer.eos_token_id}
        if not len(places) or not marks.issuperset(text.tolist()):
            raise ValueError(
                f"the prompt has {len(text)} tokens behind its video: give the one that ends where questions begin, "
                "vidfold.reading.Wording(processor).opening"
            )
    return found


def stretched(family: Family, opening: Inputs, frames: int, places: int) -> dict[str, Any]:
    """The opening of a prompt of one video, as for a video of so many frames and placeholders."""
    at = family.places(opening)[0].nonzero()[:, 0]
    start, stop = int(at[0]), int(at[-1]) + 1
    length, inputs = opening["input_ids"].shape[1], dict(opening)
    for name, each in opening.items():
        if isinstance(each, Tensor) and each.shape == (1, length):
            middle = each[:, start : start + 1].expand(-1, places)
            inputs[name] = torch.cat([each[:, :start], middle, each[:, stop:]], 1)
    if "video_grid_thw" in inputs:
        inputs["video_grid_thw"] = inputs["video_grid_thw"].clone()
        inputs["video_grid_thw"][:, 0] = frames
    return inputs


def continued(
    family: Family, spliced: Inputs, one: Reduction, other: Reduction, layers: Layers
) -> tuple[dict[str, Any], Layers]:
    """Inputs of a forward for a prompt without the tokens with which another one begins too, and the layers of those.

    Args:
        family: of the model.
        spliced: what `Family.splice` made of the prompt.
        one: the video of it.
        other: the video of a prompt with the same text before it.
        layers: of that prompt.
    """
    least = min(len(one), len(other))
    alike = (one.frames[:least] == other.frames[:least]) & (one.cells[:least] == other.cells[:least])
    alike &= (one.tokens[:least] == other.tokens[:least]).all(1)
    seen = int(alike.long().cumprod(0).sum())
    start = int(family.places(spliced)[0].nonzero()[seen])
    side = None if one.side is None else one.side[:, seen:]
    rest = replace(one, tokens=one.tokens[seen:], frames=one.frames[seen:], cells=one.cells[seen:], side=side)
    inputs = {"input_ids": spliced["input_ids"], "mm_encoder_outputs": family.outputs({}, [rest], None)}
    if "position_ids" in spliced:
        inputs["position_ids"] = spliced["position_ids"][..., start:]
    return inputs, tuple((keys[:, :, :start], values[:, :, :start]) for keys, values in layers)
