"""Which placeholders of a prompt are a video and which an image, for a model that reads frames as images."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

DIGITS = 6
"""Tokens of the longest frame number that is read."""


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


def visuals(ids: Tensor, place: int, size: int, frames: Sequence[int] | None = None) -> Visuals:
    """Read from prompts which placeholders are frames of a video and which are an image.

    A video is two or more pictures, one a line, each with a label of one word, a number, a colon and a space:
    ``Frame1: <img>...</img>``, a new line, ``Frame2: <img>...</img>``. This is how the model's processor writes
    videos. The word is the same for all frames, and the numbers go up by one. Everything else is an image:
    pictures without labels, ``Before: <img>``, ``Image-1: <img>`` (two tokens between word and colon), ``Frame 1:
    <img>`` (a space before the number). Token ids do not say which word is ``Frame``, so small images as ``Image1:
    <img>``, ``Image2: <img>`` are taken for a video; a video of one frame is taken for an image. Say otherwise in
    ``frames``.

    Digits are known by their order: the first frame's number is 1, and the ids of the digits are consecutive, as in
    every byte-level vocabulary. A vocabulary may have one token for a number of several digits; it is not read.

    Args:
        ids: (B, L) token ids.
        place: the placeholder.
        size: placeholders of one picture.
        frames: frames of every video and 0 for every image, in the order of the prompts, whatever the text between
            them; None reads it from the prompts.

    Returns:
        The visuals, on the CPU.

    Raises:
        ValueError: a run of placeholders that is no whole number of pictures, or prompts that do not fit ``frames``.
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
        visual = _read(ids, row, start, stop, pictures == 1)
        video = visual.bincount() > 1
    else:
        visual = _given(row, pictures, frames)
        video = torch.tensor(frames) > 0
    of_place = first.flatten().cumsum(0).view_as(held) - 1
    shown = held & video[visual][of_place] if len(visual) else held
    tiles = torch.zeros_like(video, dtype=torch.int64).index_add(0, visual, pictures)
    return Visuals(tiles, video, shown, held & ~shown)


def _read(ids: Tensor, row: Tensor, start: Tensor, stop: Tensor, single: Tensor) -> Tensor:
    """The visual that every run of placeholders belongs to, (R,) int64, ascending."""
    if not len(row):
        return row

    def back(offset: Tensor) -> Tensor:
        """Tokens at such offsets (R, n) before the runs; -1 before the row begins."""
        column = start[:, None] - offset
        return ids[row[:, None], column.clamp(min=0)].where(column >= 0, -1)

    # Between two frames: </img>, a new line, a word, a number of `length` tokens, a colon, a space, <img>.
    length = functional.pad(start[1:] - stop[:-1] - 6, (1, 0))
    near = functional.pad((row[1:] == row[:-1]) & single[1:] & single[:-1], (1, 0))
    near &= (length >= 1) & (length <= DIGITS)
    length = length.where(near, 1)
    sign = back(torch.arange(1, 4).expand(len(row), 3))
    near &= (sign == sign.roll(1, 0)).all(1)
    # The number before has as many tokens, or one less.
    word = back(4 + length[:, None])
    before = back(4 + length.roll(-1)[:, None] - torch.tensor([0, 1])).roll(1, 0)
    near &= (word == before).any(1)
    number = back(4 + torch.arange(DIGITS).expand(len(row), DIGITS))  # the last digit first
    index = torch.arange(len(row))
    leader = torch.where(near, 0, index).cummax(0).values
    near &= (number[:, 0] != number[leader, 0]) | (length > 1)  # a second frame 1 begins another video
    leader = torch.where(near, 0, index).cummax(0).values
    near &= _counts(index - leader + 1, number - number[leader, :1] + 1, length)
    return (~near).cumsum(0) - 1


def _counts(expected: Tensor, digits: Tensor, length: Tensor) -> Tensor:
    """Whether the last ``length`` of the digits (R, DIGITS), the last one first, spell the expected number, (R,)."""
    place = torch.arange(DIGITS)
    inside = place < length[:, None]
    spelled = (((digits >= 0) & (digits <= 9)) | ~inside).all(1)
    value = (digits * 10**place).where(inside, 0).sum(1)
    whole = (length == 1) & (expected >= 10) & ~spelled
    return whole | (spelled & (value == expected))


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
