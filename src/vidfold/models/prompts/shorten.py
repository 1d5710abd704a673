"""Prompts that lose placeholders: which positions stay, and every per-token tensor shortened in the same way."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

FILL = {"attention_mask": 0, "labels": -100, "position_ids": 0, "token_type_ids": 0, "mm_token_type_ids": 0}
"""Tensors (..., B, L) that go with ``input_ids``, and what fills them where rows are padded."""


def taken(placeholders: Tensor, slots: Sequence[tuple[int, Tensor]]) -> Tensor:
    """Positions of the placeholders that stay when every video takes fewer of its own.

    Args:
        placeholders: (B, L) bool, positions of video placeholders; videos follow one another row by row.
        slots: of each video, its placeholders in the prompts, and which of them every token takes, (k,) int64. Two
            tokens may take the same one, whose position they then share.

    Returns:
        (T,) int64, row * L + column of each.

    Raises:
        ValueError: rows that do not hold whole videos, other videos than ``slots`` says, or a slot that is not there.
    """
    counts, before = placeholders.sum(1).tolist(), [count for count, _ in slots]
    ends = list(accumulate(before))
    held = list(accumulate(counts))
    if held[-1] != (ends[-1] if ends else 0) or not set(held) <= {0, *ends}:
        raise ValueError(
            f"the prompts hold {counts} placeholders (one count a row), but their {len(before)} videos or images need "
            f"{before} in this order: make input_ids and the pixels in one call of the processor, and do not "
            "truncate the prompt"
        )
    last = [each.max() if len(each) else each.new_tensor(-1) for _, each in slots]
    last = torch.stack(last).tolist() if slots else []
    if any(slot >= count for slot, count in zip(last, before, strict=True)):
        raise ValueError(f"videos or images of {before} placeholders have none to take at {last}")
    places = placeholders.flatten().nonzero()[:, 0]
    parts = [places[end - count + each.to(places.device)] for end, (count, each) in zip(ends, slots, strict=True)]
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


def real(inputs: Mapping[str, Any]) -> Tensor:
    """Which tokens of prompts are no padding, (B, L) bool: all of them without an ``attention_mask`` (B, L)."""
    ids: Tensor = inputs["input_ids"]
    mask = inputs.get("attention_mask")
    return torch.ones_like(ids, dtype=torch.bool) if mask is None or mask.ndim != 2 else mask.bool()


def closed_up(positions: Tensor, kept: Tensor) -> Tensor:
    """Positions that close the gaps of what is dropped: those of the tokens that stay follow one another as before.

    Args:
        positions: (..., B or 1, L) int64, counted one by one; several sequences of a row may begin anew.
        kept: (B, L) bool.

    Returns:
        (..., B, L) int64, of use where tokens are kept.
    """
    dropped = (~kept).long().cumsum(-1)
    anew = torch.nn.functional.pad(positions[..., 1:] < positions[..., :-1], (1, 0))
    return positions - dropped + (dropped * anew).cummax(-1).values


def check(inputs: Mapping[str, Any]) -> None:
    """Raise a ValueError for a tensor of the names of `FILL` that does not go with ``input_ids`` (B, L)."""
    batch, length = inputs["input_ids"].shape
    for name in FILL:
        if (value := inputs.get(name)) is None:
            continue
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        wide = shape[-2:] == (length, length) if len(shape) == 4 else shape == (batch, length)
        exact = name in ("attention_mask", "mm_token_type_ids")
        if isinstance(shape, str) or len(shape) < 2 or shape[-1] != length or (exact and not wide):
            raise ValueError(f"{name} must be (..., {batch}, {length}) as input_ids are, got {shape}")


def shorten(inputs: Mapping[str, Any], chosen: Tensor, pad: int) -> dict[str, Tensor]:
    """Keep only the chosen positions, and pad the rows to one length again, on the side on which they were (else left).

    Padding that all rows share stays, so that nothing changes where everything is chosen.

    Args:
        inputs: with ``input_ids`` (B, L); ``attention_mask`` and the other names of `FILL` where given. A mask may also
            be (B or 1, H or 1, L, L), boolean or additive.
        chosen: (T,) int64 ascending, row * L + column of the positions to keep, padding included.
        pad: token id for ``input_ids``.

    Returns:
        ``input_ids`` and the given names of `FILL`, each (..., B, M) with M the longest row; ``attention_mask`` too
        where rows became unequal.
    """
    ids: Tensor = inputs["input_ids"]
    batch, length = ids.shape
    given = {name: inputs[name] for name in FILL if inputs.get(name) is not None}
    index, valid, unequal = _columns(real(inputs), chosen)

    def take(value: Tensor, fill: float) -> Tensor:
        rows = value.expand(*value.shape[:-2], batch, length)
        return rows.gather(-1, index.expand(*rows.shape[:-2], *index.shape)).masked_fill(~valid, fill)

    mask = given.pop("attention_mask", None)
    short = {"input_ids": take(ids, pad)} | {name: take(value, FILL[name]) for name, value in given.items()}
    if mask is None:
        return short | ({"attention_mask": valid.to(ids.dtype)} if unequal else {})
    if mask.ndim == 2:
        return short | {"attention_mask": take(mask, 0)}
    # Padding asks as the first token does, so that every token sees something.
    hidden = torch.finfo(mask.dtype).min if mask.is_floating_point() else 0
    heads = mask.expand(batch, *mask.shape[1:]).gather(2, index[:, None, :, None].expand(-1, mask.shape[1], -1, length))
    columns = index[:, None, None].expand(*heads.shape[:3], -1)
    return short | {"attention_mask": heads.gather(3, columns).masked_fill(~valid[:, None, None], hidden)}


def _columns(real: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor, bool]:
    """Columns of the full prompt (B, M) that stand in the shortened one, and where there are none: added padding.

    ``real`` (B, L) bool are the tokens that are no padding. Gives the columns, 0 at added padding; (B, M) bool, where
    no padding was added; and whether some was.
    """
    batch, length = real.shape
    row, column = chosen // length, chosen % length
    ahead = real.cumsum(1) == 0
    behind = (real.flip(1).cumsum(1).flip(1) == 0) & ~ahead
    counts = row.bincount(minlength=batch)
    left, right = (torch.zeros_like(counts).index_add_(0, row, side[row, column].long()) for side in (ahead, behind))
    width = (counts - left - right).max() + (left + right).min()
    on_right = right.any()
    cut = (counts - width).clamp(min=0)
    cut_left = torch.where(on_right, cut - torch.minimum(cut, right), torch.minimum(cut, left))
    kept = counts - cut
    longest, unequal = torch.stack([width, (kept < width).any()]).tolist()
    place = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts + cut_left)[row]
    inside = (place >= 0) & (place < kept[row])
    # What is cut off goes to one more column.
    place = torch.where(inside, place + torch.where(on_right, 0, width - kept)[row], longest)
    index = column.new_zeros(batch, longest + 1)
    index[row, place] = column
    valid = torch.zeros_like(index, dtype=torch.bool)
    valid[row, place] = True
    return index[:, :-1], valid[:, :-1], bool(unequal)
