"""Prompts that lose placeholders: which positions are left, and every per-token tensor shortened alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

FILL = {"attention_mask": 0, "labels": -100, "position_ids": 0, "token_type_ids": 0, "mm_token_type_ids": 0}
"""Tensors (..., B, L) that go with ``input_ids``, and what fills them where rows are padded."""


def taken(placeholders: Tensor, before: Sequence[int], slots: Sequence[Tensor]) -> Tensor:
    """Positions of the placeholders that are left when every video takes fewer of its own.

    Args:
        placeholders: (B, L) bool, positions of video placeholders; videos follow one another row by row.
        before: placeholders of each video in the prompts.
        slots: of each video, (k,) int64: which of its placeholders every token takes. Two tokens may take the same one,
            whose position they then share.

    Returns:
        (T,) int64, row * L + column of each.

    Raises:
        ValueError: rows that do not hold whole videos, other videos than ``before`` says, or a slot that is not there.
    """
    counts = placeholders.sum(1).tolist()
    ends = list(accumulate(before))
    held = list(accumulate(counts))
    if held[-1] != (ends[-1] if ends else 0) or not set(held) <= {0, *ends}:
        raise ValueError(
            f"the prompts hold {counts} placeholders (one count a row), but their {len(before)} videos or images need "
            f"{list(before)} in this order: make input_ids and the pixels in one call of the processor, and do not "
            "truncate the prompt"
        )
    last = [int(each.max()) if len(each) else -1 for each in slots]
    if any(slot >= count for slot, count in zip(last, before, strict=True)):
        raise ValueError(f"videos or images of {list(before)} placeholders have none to take at {last}")
    places = placeholders.flatten().nonzero()[:, 0]
    parts = [places[end - count + each.to(places.device)] for end, count, each in zip(ends, before, slots, strict=True)]
    return torch.cat([places[:0], *parts])


def remaining(placeholders: Tensor, *taken: Tensor) -> Tensor:
    """Positions of a shortened prompt: all that are no placeholders, and those of the placeholders that are taken.

    Args:
        placeholders: (B, L) bool.
        taken: (T,) int64 each, see `taken`.

    Returns:
        (T,) int64, ascending row * L + column.
    """
    return torch.cat([(~placeholders.flatten()).nonzero()[:, 0], *taken]).sort().values


def shorten(inputs: Mapping[str, Any], chosen: Tensor, pad: int) -> dict[str, Tensor]:
    """Leave the chosen positions and pad the rows to one length again, on the side on which they were (else left).

    Args:
        inputs: with ``input_ids`` (B, L); ``attention_mask`` and the other names of `FILL` where given.
        chosen: (T,) int64 ascending, row * L + column of the positions to leave; padding goes in any case.
        pad: token id for ``input_ids``.

    Returns:
        ``input_ids``, ``attention_mask`` and the given names of `FILL`, each (..., B, M) with M the longest row.

    Raises:
        ValueError: a tensor that does not go with ``input_ids``.
    """
    ids: Tensor = inputs["input_ids"]
    batch, length = ids.shape
    given = {name: inputs[name] for name in FILL if inputs.get(name) is not None}
    for name, value in given.items():
        if not isinstance(value, Tensor) or value.ndim < 2 or value.shape[-1] != length:
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"{name} must be (..., {batch}, {length}) as input_ids are, got {shape}")
    if given.get("attention_mask", ids).ndim != 2:
        raise ValueError(f"attention_mask must be (batch, length), got {tuple(given['attention_mask'].shape)}")
    mask = given.setdefault("attention_mask", torch.ones_like(ids))
    chosen = chosen[mask.flatten()[chosen] != 0]
    row, column = chosen // length, chosen % length
    lengths = row.bincount(minlength=batch)
    longest, padded_right = torch.stack([lengths.max(), (mask[:, -1] == 0).any()]).tolist()
    place = torch.arange(len(row), device=row.device) - (lengths.cumsum(0) - lengths)[row]
    if not padded_right:
        place = place + (longest - lengths)[row]
    index = ids.new_zeros(batch, longest)
    index[row, place] = column
    valid = torch.zeros_like(index, dtype=torch.bool)
    valid[row, place] = True

    def take(value: Tensor, fill: int) -> Tensor:
        rows = value.expand(*value.shape[:-2], batch, length)
        return rows.gather(-1, index.expand(*rows.shape[:-2], *index.shape)).masked_fill(~valid, fill)

    return {"input_ids": take(ids, pad)} | {name: take(value, FILL[name]) for name, value in given.items()}
