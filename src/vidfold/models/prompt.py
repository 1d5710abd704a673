"""Prompts that lose placeholders: which positions stay, and every per-token tensor shortened alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

FILL = {"attention_mask": 0, "labels": -100, "position_ids": 0, "token_type_ids": 0, "mm_token_type_ids": 0}
"""Tensors (..., B, L) that go with ``input_ids``, and what fills them where rows are padded."""


def keep(placeholders: Tensor, before: Sequence[int], after: Sequence[int]) -> Tensor:
    """Positions that stay when every video is left with fewer placeholders.

    A video keeps the first of its placeholders, which serves models that number positions one by one: there all
    placeholders of a video are alike.

    Args:
        placeholders: (B, L) bool, positions of video placeholders; videos follow one another row by row.
        before: placeholders of each video in the prompts.
        after: placeholders to leave it.

    Returns:
        (B, L) bool, True also at every position that is no placeholder.

    Raises:
        ValueError: rows that do not hold whole videos, or other videos than ``before`` says.
    """
    counts = placeholders.sum(1).tolist()
    ends = list(accumulate(before))
    held = list(accumulate(counts))
    if held[-1] != (ends[-1] if ends else 0) or not set(held) <= {0, *ends}:
        raise ValueError(
            f"the prompts hold {counts} video placeholders (one count a row), but their {len(before)} videos need "
            f"{list(before)} in this order: make input_ids and pixel_values_videos in one call of the processor, "
            "and do not truncate the prompt"
        )
    if any(left > had for left, had in zip(after, before, strict=True)):
        raise ValueError(f"videos of {list(before)} placeholders cannot take {list(after)} tokens")
    device = placeholders.device
    limit = torch.tensor(ends, device=device)
    rank = placeholders.flatten().cumsum(0) - 1
    video = torch.searchsorted(limit, rank.clamp(min=0), right=True).clamp(max=len(ends) - 1)
    slot = rank - (limit - torch.tensor(before, device=device))[video]
    stays = slot < torch.tensor(after, device=device)[video]
    return ~placeholders | stays.view_as(placeholders)


def shorten(inputs: Mapping[str, Any], stays: Tensor, pad: int) -> dict[str, Tensor]:
    """Drop positions and pad the rows to one length again, on the side on which they were padded (else left).

    Args:
        inputs: with ``input_ids`` (B, L); ``attention_mask`` and the other names of `FILL` where given.
        stays: (B, L) bool, positions to keep; padding goes in any case.
        pad: token id for ``input_ids``.

    Returns:
        ``input_ids``, ``attention_mask`` and the given names of `FILL`, each (..., B, M) with M the longest row.

    Raises:
        ValueError: a tensor that does not go with ``input_ids``.
    """
    ids: Tensor = inputs["input_ids"]
    given = {name: inputs[name] for name in FILL if inputs.get(name) is not None}
    for name, value in given.items():
        if not isinstance(value, Tensor) or value.ndim < 2 or value.shape[-1] != ids.shape[1]:
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"{name} must be (..., {ids.shape[0]}, {ids.shape[1]}) as input_ids are, got {shape}")
    if given.get("attention_mask", ids).ndim != 2:
        raise ValueError(f"attention_mask must be (batch, length), got {tuple(given['attention_mask'].shape)}")
    mask = given.setdefault("attention_mask", torch.ones_like(ids))
    real = stays & mask.bool()
    *lengths, padded_right = torch.cat([real.sum(1), (mask[:, -1:] == 0).any(0).long()]).tolist()
    longest = max(lengths)
    index = torch.argsort(~real if padded_right else real, dim=1, stable=True)
    index = index[:, :longest] if padded_right else index[:, ids.shape[1] - longest :]
    valid = real.gather(1, index)

    def take(value: Tensor, fill: int) -> Tensor:
        rows = value.expand(*value.shape[:-2], *ids.shape)
        return rows.gather(-1, index.expand(*rows.shape[:-2], *index.shape)).masked_fill(~valid, fill)

    return {"input_ids": take(ids, pad)} | {name: take(value, FILL[name]) for name, value in given.items()}
