"""Open a saved video: everything is checked against the model before anything large is made."""

import os
from typing import Any

import torch
from torch import Tensor

from vidfold.models import family as family_of
from vidfold.models.base import Family
from vidfold.models.builds import state_of
from vidfold.reading.container import Container
from vidfold.reading.fingerprint import file_digest
from vidfold.reading.origin import check_origin
from vidfold.reading.prefix import Layers, Prefix
from vidfold.reading.video import FoldedVideo
from vidfold.reading.wording import Wording
from vidfold.tokens import Reduction


@torch.no_grad()
def open_video(
    path: str | os.PathLike[str],
    model: Any,
    processor: Any = None,
    *,
    source: str | os.PathLike[str] | None = None,
) -> FoldedVideo:
    """Open what `FoldedVideo.save` wrote, to ask on without decoding, encoding or folding anything.

    With a saved cache nothing is computed, else the folded tokens are read again by the language model.

    Args:
        path: of the file.
        model: the model that read the video: the same weights, in the same dtype, on any device.
        processor: words the questions; without it they are token ids.
        source: the video's own file; where it is given it must be the one that was read.

    Raises:
        ValueError: a file that is missing, cut short, damaged, or written by another version; another model, revision
            or dtype; another source.
    """
    file, family = Container(path), family_of(model)
    model = family.model
    check_origin(file, family, "video", {"videos": list, "said": dict})
    if source is not None and (file.record["source"] or {}).get("sha256") != file_digest(source):
        raise ValueError(f"{file.name} was made of another file than {os.fspath(source)!r}: read that one again")
    shapes = _check_shapes(file, family)
    layers = _check_cache(file, model)
    tensors = {name: each.to(model.device) for name, each in file.load().items()}
    reductions = []
    for number, (grid, full) in enumerate(shapes):
        parts = {name: tensors.get(f"video.{number}.{name}") for name in ("tokens", "frames", "cells", "side")}
        reductions.append(_reduction(file, parts, grid, full))
    inputs = {name: tensors[f"inputs.{name}"] for name in file.names("inputs.")} | file.record["said"]
    known = {name: file.record[name] for name in ("method", "duration", "source")}
    times = file.record["times"]
    known |= {"times": None if times is None else tuple(times), "wording": processor and Wording(processor)}
    spliced = family.splice(inputs, reductions)
    if not layers:
        return FoldedVideo.of(family, inputs, spliced, reductions, **known)
    ids = spliced["input_ids"]
    kept: Layers = tuple((tensors[f"cache.{n}.keys"], tensors[f"cache.{n}.values"]) for n in range(layers))
    if kept[0][0].shape[2] != ids.shape[1]:
        raise ValueError(f"the cache of {file.name} holds {kept[0][0].shape[2]} tokens, its prompt {ids.shape[1]}")
    following = family.following(inputs) if "position_ids" in spliced else None
    shift = None if following is None else following - ids.shape[1]
    prefix = Prefix(model, ids, inputs["input_ids"].shape[1] - ids.shape[1], shift, kept, state_of(model))
    return FoldedVideo(family, inputs, tuple(reductions), prefix, **known)


def _check_shapes(file: Container, family: Family) -> list[tuple[tuple[int, int], int]]:
    """Grid and size before folding of every video; a ValueError where a shape fits neither these nor the model."""
    model, shapes = family.model, []
    width = model.config.get_text_config(decoder=True).hidden_size
    _, length = file.check("inputs.input_ids", (1, None), torch.int64)
    for number, each in enumerate(file.record["videos"]):
        if not (isinstance(each, list) and len(each) == 3 and all(isinstance(n, int) and n > 0 for n in each)):
            raise ValueError(f"{file.name} is damaged: a video of {each!r}")
        height, columns, full = each
        if full % (height * columns) or not height * columns <= full <= length:
            raise ValueError(f"{file.name} is damaged: {full} tokens of {height} x {columns} in a prompt of {length}")
        kept, _ = file.check(f"video.{number}.tokens", (None, width), model.dtype)
        for name in ("frames", "cells"):
            file.check(f"video.{number}.{name}", (kept,), torch.int64)
        if family.side_levels:
            file.check(f"video.{number}.side", (family.side_levels, kept, width), model.dtype)
        shapes.append(((height, columns), full))
    if not shapes:
        raise ValueError(f"{file.name} is damaged: it has no video")
    return shapes


def _check_cache(file: Container, model: Any) -> int:
    """Decoder layers of the saved cache, 0 where there is none; a ValueError where shapes are not the model's."""
    if not file.names("cache."):
        return 0
    config = model.config.get_text_config(decoder=True)
    heads = config.num_key_value_heads or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    tokens = None
    for number in range(config.num_hidden_layers):
        for name in ("keys", "values"):
            tokens = file.check(f"cache.{number}.{name}", (1, heads, tokens, width), model.dtype)[2]
    if len(file.names("cache.")) != 2 * config.num_hidden_layers:
        raise ValueError(f"{file.name} has a cache of other layers than the {config.num_hidden_layers} of the model")
    return int(config.num_hidden_layers)


def _reduction(file: Container, parts: dict[str, Any], grid: tuple[int, int], full: int) -> Reduction:
    """A saved reduction; a ValueError where its tokens lie outside the video."""
    height, width = grid
    most = {"frames": full // (height * width), "cells": height * width + height}
    for name, end in most.items():
        places: Tensor = parts[name]
        if len(places) and (int(places.min()) < 0 or int(places.max()) >= end):
            raise ValueError(f"{file.name} is damaged: {name} go from {int(places.min())} to {int(places.max())}")
    return Reduction(**parts, grid=grid, full=full)
