"""Runs of placeholders in prompts of a model that reads frames as images: which are a video, and which an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

LABEL, END = 5, 2
"""Tokens in front of a frame that name it, as in ``Frame1: <img>``, and those of them behind its number."""


@dataclass(frozen=True, eq=False)
class Visuals:
    """Videos and images of some prompts, in their order.

    Attributes:
        tiles: (V,) int64, pictures of each: frames of a video, tiles of an image.
        video: (V,) bool, which are videos.
        video_places: (B, L) bool, placeholders of videos.
        image_places: (B, L) bool, those of images.
    """

    tiles: Tensor
    video: Tensor
    video_places: Tensor
    image_places: Tensor

    @property
    def tile_video(self) -> Tensor:
        """Whether each picture is a frame of a video, (pictures,) bool."""
        return self.video.repeat_interleave(self.tiles)


def visuals(
    ids: Tensor, place: int, size: int, *, gap: tuple[int, int], frames: Sequence[int] | None = None
) -> Visuals:
    """Read from prompts which placeholders are frames of a video and which are an image.

    A video is a row of two or more runs of one picture each with little text between them and the same `END` tokens in
    front, as in ``Frame1: <img>...</img>\\nFrame2: <img>...</img>``. Any other run is an image, of one tile or more. A
    frame with the very label of the first one (the `LABEL` tokens in front of it) begins another video.

    Args:
        ids: (B, L) token ids.
        place: the placeholder.
        size: placeholders of one picture.
        gap: least and most tokens between the placeholders of neighbouring frames.
        frames: frames of every video and 0 for every image, in the order of the prompts, whatever lies between; None
            reads it from the prompts.

    Returns:
        The visuals, on the CPU.

    Raises:
        ValueError: a run of no whole number of pictures, or prompts that are not as ``frames`` says.
    """
    ids = ids.cpu()
    held = ids == place
    first = held & ~functional.pad(held, (1, 0))[:, :-1]
    last = held & ~functional.pad(held, (0, 1))[:, 1:]
    (row, start), stop = first.nonzero().T, last.nonzero()[:, 1] + 1
    lengths = stop - start
    if bool((lengths % size != 0).any()):
        raise ValueError(
            f"the prompts hold runs of {lengths.tolist()} placeholders, but a picture has {size}: do not truncate them"
        )
    pictures = lengths // size
    if frames is None:
        labels = functional.pad(ids, (LABEL, 0), value=-1)[row[:, None], start[:, None] + torch.arange(LABEL)]
        visual = _read(row, start, stop, pictures == 1, labels, gap)
        video = visual.bincount() > 1
    else:
        visual = _given(row, pictures, frames)
        video = torch.tensor(frames) > 0
    of_place = first.flatten().cumsum(0).view_as(held) - 1
    shown = held & video[visual][of_place] if len(visual) else held
    tiles = torch.zeros_like(video, dtype=torch.int64).index_add(0, visual, pictures)
    return Visuals(tiles, video, shown, held & ~shown)


def _read(row: Tensor, start: Tensor, stop: Tensor, single: Tensor, labels: Tensor, gap: tuple[int, int]) -> Tensor:
    """The visual that every run belongs to, (R,), from the text between them."""
    between = start[1:] - stop[:-1]
    near = (row[1:] == row[:-1]) & single[1:] & single[:-1] & (gap[0] <= between) & (between <= gap[1])
    near &= (labels[1:, -END:] == labels[:-1, -END:]).all(1)
    follows = functional.pad(near, (1, 0))[-len(row) :] if len(row) else near
    index = torch.arange(len(row))
    leader = torch.where(follows, 0, index).cummax(0).values
    follows &= (labels != labels[leader]).any(1)
    return (~follows).cumsum(0) - 1


def _given(row: Tensor, pictures: Tensor, frames: Sequence[int]) -> Tensor:
    """The visual that every run belongs to, (R,), as the caller says."""
    runs = torch.tensor([max(1, each) for each in frames], dtype=torch.int64)
    visual = torch.arange(len(runs)).repeat_interleave(runs)
    fits = len(visual) == len(row)
    if fits:
        one_row = bool((row == row[functional.pad(runs.cumsum(0), (1, 0))[:-1]][visual]).all())
        fits = one_row and bool((pictures[torch.tensor(frames)[visual] > 0] == 1).all())
    if not fits:
        raise ValueError(
            f"frames={tuple(frames)} does not fit the prompts, whose runs hold {pictures.tolist()} pictures in rows "
            f"{row.tolist()}: give the frames of every video and 0 for every image, in order"
        )
    return visual
