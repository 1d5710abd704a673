"""Decode chosen frames of a video file with PyAV: seek to a keyframe if that saves work, or else decode forward."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidfold.video.containers import Scout, demux, open_video

Pixels = NDArray[np.uint8]


class Decoder:
    """One open video file.

    A `Scout` on the same file finds the keyframe before a wanted tick, so decoding never goes back and decodes no
    frame twice.

    Attributes:
        timeline: when the file's frames are shown.
        decoded: how many frames have been decoded so far.

    Raises:
        ValueError: the file is missing, empty, not a video, a still image, audio only, or no frame decodes.
    """

    def __init__(self, path: Path) -> None:
        self._name = repr(str(path))
        self._container, self._stream = open_video(path)
        self._stream.thread_type = "AUTO"
        self._scout = Scout(path)
        self._current: Any
        self._following: Any
        self.decoded = 0
        try:
            self._restart()
            self.timeline = self._scout.timeline(self._current.pts)
        except _Damage as damage:
            self.close()
            raise ValueError(f"{self._name} is damaged or cut short: its first frames do not decode") from damage
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._container.close()
        self._scout.close()

    def count(self) -> int:
        """The exact number of frames; reads the whole file if its header does not say."""
        return self.timeline.total if self.timeline.counted else self._scout.count()

    def shown_at(self, ticks: Sequence[int]) -> Iterator[tuple[int, Pixels]]:
        """The frame shown at each of the ascending ``ticks``: its own tick and its pixels, (H, W, 3) uint8 RGB.

        Raises:
            ValueError: the file is damaged; the message says how many frames could be decoded.
        """
        size = self._current.width, self._current.height
        for done, tick in enumerate(ticks):
            try:
                self._advance(tick)
            except _Damage as damage:
                raise ValueError(
                    f"{self._name} is damaged or cut short before {self.timeline.seconds(tick):.2f} s: only {done} of "
                    f"the {len(ticks)} frames asked for could be decoded"
                ) from damage
            yield self._current.pts, _pixels(self._current, size)

    def _advance(self, tick: int) -> None:
        """Make the frame shown at ``tick`` the current one."""
        period = self.timeline.period
        if self._following is not None and self._following.pts + period < tick:
            key = self._scout.keyframe(tick, floor=self._following.pts)
            if key is not None and key[1] > self._following.pts:
                self._restart(seek=key[0])
                if self._current.pts > tick:
                    self._restart(seek=self.timeline.first)
        while self._following is not None and self._following.pts <= tick:
            self._current, self._following = self._following, next(self._pictures, None)
        if self._following is None and tick - self._current.pts > 2 * period:
            raise _Damage

    def _restart(self, seek: int | None = None) -> None:
        if seek is not None:
            self._container.seek(seek, stream=self._stream, backward=True)
        self._pictures = self._decode(midway=seek is not None)
        try:
            self._current = next(self._pictures)
        except StopIteration:
            raise _Damage from None
        self._following = next(self._pictures, None)

    def _decode(self, midway: bool) -> Iterator[Any]:
        """Frames from the current position to the end.

        After a seek, packets before the first keyframe are skipped. Packets that fail before the first frame are
        skipped too: some recordings begin in the middle of a group of pictures.
        """
        import av

        begun = False
        try:
            for packet in demux(self._container, self._stream):
                if midway and not packet.is_keyframe:
                    continue
                midway = False
                try:
                    frames = packet.decode()
                except av.FFmpegError:
                    if begun:
                        raise
                    continue
                for frame in frames:
                    if frame.pts is None:
                        raise ValueError(f"{self._name} has no timestamps; convert it to a container such as mp4")
                    begun = True
                    self.decoded += 1
                    yield frame
        except av.FFmpegError as error:
            raise _Damage from error


class _Damage(Exception):
    """A frame that should be there does not decode."""


def _pixels(frame: Any, size: tuple[int, int]) -> Pixels:
    """The frame as (H, W, 3) RGB, rotated and mirrored upright by its display matrix."""
    picture: Pixels = frame.reformat(width=size[0], height=size[1], format="rgb24").to_ndarray()
    side = frame.side_data.get("DISPLAYMATRIX")
    if side is None:
        return picture
    a, b, _, c, d = np.frombuffer(side, np.int32)[:5]
    turned = abs(int(b)) > abs(int(a))  # a rotation by 90 or 270 degrees swaps x and y; a and d are about 0
    if turned:
        picture = picture.swapaxes(0, 1)
    across, down = (c, b) if turned else (a, d)
    return picture[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]
