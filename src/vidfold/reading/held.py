"""What a stream holds, as values and as a file."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from vidfold.models import Family
from vidfold.reading.container import Container, write
from vidfold.reading.fading import Span, joined
from vidfold.reading.origin import check_origin, origin


@dataclass(frozen=True)
class Block:
    """What every block of a stream is.

    Attributes:
        size: height and width of frames in pixels.
        grid: the language grid of a frame.
        whole: tokens of a block.
        kept: those of it folded.
        room: folded spans that there is room for.
    """

    size: tuple[int, int]
    grid: tuple[int, int]
    whole: int
    kept: int
    room: int


@dataclass
class Held:
    """What a stream holds of full blocks.

    Attributes:
        old: folded spans, in order.
        whole: the blocks after them, each whole and folded.
        frames: how many there were, also those that are in no full block.
        seconds: time of the last one.
        opening: the prompt of one block, without pixels.
        block: None before the first frame.
    """

    old: list[Span] = field(default_factory=list)
    whole: list[tuple[Span, Span]] = field(default_factory=list)
    frames: int = 0
    seconds: float = -1.0
    opening: dict[str, Any] = field(default_factory=dict)
    block: Block | None = None

    @property
    def spans(self) -> list[Span]:
        """All of it, in order."""
        return [*self.old, *(whole for whole, _ in self.whole)]

    @property
    def nbytes(self) -> int:
        """Memory of the tokens."""
        return sum(each.nbytes for each in (*self.old, *(part for pair in self.whole for part in pair)))


def save(
    held: Held, path: str | os.PathLike[str], family: Family, settings: Mapping[str, Any], about: Mapping[str, Any]
) -> int:
    """Write full blocks to a file; gives its size in bytes. ``settings`` are those of the stream, as JSON."""
    parts = [*held.old, *(part for pair in held.whole for part in pair)]
    if not parts or held.block is None:
        raise ValueError("nothing can be kept yet: no block of the stream is full")
    joint, block = joined(parts), held.block
    tensors = {"tokens": joint.tokens, "times": joint.times, "cells": joint.cells}
    tensors |= {} if joint.side is None else {"side": joint.side}
    tensors |= {f"inputs.{name}": each for name, each in held.opening.items() if isinstance(each, Tensor)}
    record = origin(family, "stream") | {
        "settings": dict(settings),
        "spans": [[each.first, each.last, len(each)] for each in parts],
        "whole": len(held.whole),
        "seconds": held.seconds,
        "block": [*block.size, *block.grid, block.whole, block.kept, block.room],
        "said": {name: list(each) for name, each in held.opening.items() if isinstance(each, list | tuple)},
        "about": dict(about),
    }
    return write(path, tensors, record)


def restored(path: str | os.PathLike[str], family: Family, settings: Mapping[str, Any]) -> tuple[Held, dict[str, Any]]:
    """What `save` wrote, and ``about``.

    Raises:
        ValueError: another model, other settings, or what `vidfold.open_video` raises.
    """
    file, record = Container(path), Container(path).record
    parts = {
        "settings": dict,
        "spans": list,
        "whole": int,
        "seconds": float,
        "block": list,
        "said": dict,
        "about": dict,
    }
    check_origin(file, family, "stream", parts)
    if record["settings"] != settings:
        raise ValueError(f"{file.name} is of a stream with {record['settings']}, not with {dict(settings)}")
    numbers = [number for each in record["spans"] for number in each] + record["block"] + [record["whole"]]
    if not all(isinstance(number, int) and number >= 0 for number in numbers) or len(record["block"]) != 7:
        raise ValueError(f"{file.name} is damaged: its spans are {record['spans']} and {record['block']}")
    counts = [kept for *_, kept in record["spans"]]
    width = family.model.config.get_text_config(decoder=True).hidden_size
    file.check("tokens", (sum(counts), width), family.model.dtype)
    file.check("times", (sum(counts),), torch.float64)
    file.check("cells", (sum(counts),), torch.int64)
    if family.side_levels:
        file.check("side", (family.side_levels, sum(counts), width), family.model.dtype)
    tensors = {name: each.to(family.model.device) for name, each in file.load().items()}
    spans = []
    for (first, last, kept), end in zip(record["spans"], accumulate(counts), strict=True):
        part = slice(end - kept, end)
        tokens, times, cells = (tensors[name][part] for name in ("tokens", "times", "cells"))
        spans.append(Span(first, last, tokens, times, cells, tensors["side"][:, part] if "side" in tensors else None))
    old = len(spans) - 2 * record["whole"]
    height, width, rows, columns, *counted = record["block"]
    held = Held(
        old=spans[:old],
        whole=list(zip(spans[old::2], spans[old + 1 :: 2], strict=True)),
        frames=spans[-1].last + 1,
        seconds=record["seconds"],
        opening={name: tensors[f"inputs.{name}"] for name in file.names("inputs.")} | record["said"],
        block=Block((height, width), (rows, columns), *counted),
    )
    return held, record["about"]
