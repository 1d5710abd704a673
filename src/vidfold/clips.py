"""A video cut into consecutive clips: the one value that everything over time works with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.linear import sum_rows
from vidfold.ops.ranks import first_true
from vidfold.ops.shares import host_bound
from vidfold.tokens import VideoTokens


@dataclass(frozen=True, eq=False)
class Clips:
    """C consecutive clips that cover a video of F frames.

    Where the content decides how many clips there are, C is an upper bound, and the last clips are empty. No shape
    depends on the content then, and the host need not wait for the device.

    Attributes:
        starts: (C,) int64, first frame of each clip, ascending; F for an empty clip.
        lengths: (C,) int64, frames of each clip; 0 for an empty clip.
        frames: F.
        longest: L, an upper bound of the lengths that the host knows.
        clip_of: (F,) int64, the clip that each frame lies in.
        first: (F,) int64, the first frame of that clip.
        length: (F,) int64, the frames of that clip.
        position: (F,) int64, the place of each frame in its clip, 0 for the first.
    """

    starts: Tensor
    lengths: Tensor
    frames: int
    longest: int
    clip_of: Tensor = field(init=False)
    first: Tensor = field(init=False)
    length: Tensor = field(init=False)
    position: Tensor = field(init=False)

    def __post_init__(self) -> None:
        index = torch.arange(self.frames, device=self.starts.device)
        clip_of = torch.searchsorted(self.starts, index, right=True) - 1
        first, length = self.starts[clip_of], self.lengths[clip_of]
        for name, value in {"clip_of": clip_of, "first": first, "length": length, "position": index - first}.items():
            object.__setattr__(self, name, value)

    @classmethod
    def beginning(cls, first: Tensor, longest: int | None = None) -> "Clips":
        """The clips whose first frames are marked in ``first`` (F,) bool; frame 0 must be; C = F.

        ``longest`` is an upper bound of their lengths; None: F.
        """
        frames = len(first)
        starts = torch.where(first, torch.arange(frames, device=first.device), frames).sort().values
        lengths = functional.pad(starts[1:], (0, 1), value=frames) - starts
        return cls(starts, lengths, frames, frames if longest is None else longest)

    @classmethod
    def joined(cls, parts: "Sequence[Clips]") -> "Clips":
        """The clips of several videos as those of one video, in which they follow one another."""
        if len(parts) == 1:
            return parts[0]
        ends = list(accumulate(part.frames for part in parts))
        starts = [part.starts + (end - part.frames) for part, end in zip(parts, ends, strict=True)]
        lengths = torch.cat([part.lengths for part in parts])
        return cls(torch.cat(starts), lengths, ends[-1], max(part.longest for part in parts))

    @property
    def most(self) -> int:
        """An upper bound of the number of clips that are not empty, which the host knows without a wait."""
        return host_bound(self.clip_of + 1, len(self.starts))

    @property
    def members(self) -> Tensor:
        """(C, L) int64, the frames of each clip, padded with other frames; see `there`."""
        return (self.starts[:, None] + self._places).clamp_max(self.frames - 1)

    @property
    def there(self) -> Tensor:
        """(C, L) bool, which of the `members` are not padding."""
        return self._places < self.lengths[:, None]

    def rows_there(self, count: int) -> Tensor:
        """Which rows (C, L * count) bool of the clips are not padding, with ``count`` rows a frame; see `rows`."""
        return self.there[:, :, None].expand(-1, -1, count).flatten(1)

    def shares(self, total: int) -> Tensor:
        """K tokens divided among the clips in proportion to their frames, exactly: (C,) int64."""
        return total * (self.starts + self.lengths) // self.frames - total * self.starts // self.frames

    def rows(self, values: Tensor, part: slice = slice(None)) -> Tensor:
        """Rows of each frame (F, m, ...) as rows of each clip (C, L * m, ...), padded; for some of the clips."""
        members = self.members[part]
        picked = values.index_select(0, members.flatten())
        return picked.view(len(members), self.longest * values.shape[1], *values.shape[2:])

    def frame_rows(self, values: Tensor) -> Tensor:
        """The inverse of `rows` for one number a row: (C, L * m) as (F, m), without the padding."""
        return values.view(len(values), self.longest, -1)[self.clip_of, self.position]

    def sums(self, values: Tensor) -> Tensor:
        """Sums of values of the frames (F,) or (F, E) over the clip that each frame lies in, of the same shape."""
        sums = sum_rows(values.view(len(values), -1), self.clip_of, self.most)
        return sums[self.clip_of].view_as(values)

    def compact(self) -> "Clips":
        """The same clips without empty ones, where their padding would cost more than one wait for the device."""
        if len(self.starts) * self.longest <= 2 * (self.frames + self.longest):
            return self
        used, longest = torch.stack([(self.lengths > 0).sum(), self.lengths.max()]).tolist()
        filled = first_true(self.lengths > 0, used)
        return Clips(self.starts[filled], self.lengths[filled], self.frames, longest)

    @property
    def _places(self) -> Tensor:
        return torch.arange(self.longest, device=self.starts.device)


class Segmenter(Protocol):
    """What cuts a video into clips; a frozen dataclass, so that a method that holds one can be compared and printed."""

    def __call__(self, tokens: VideoTokens, /) -> Clips:
        """Cut a video."""
