"""Decode chosen frames of a video file with PyAV: seek to a keyframe if that saves work, or else decode forward."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np

from vidfold.video.index import Index, demux, in_order, scan
from vidfold.video.sources import Source
from vidfold.video.upright import Pixels, display_size, upright


class Differs(Exception):
    """What decodes differs from the index; the decoder has a new index, to choose frames from again."""


class Decoder(AbstractContextManager["Decoder"]):
    """One open video file.

    Frames are chosen by an index of the packets, and what decodes is compared with it: some packets show nothing, and
    some have wrong times. If they differ, the whole file is decoded once, for an index of what is really shown.

    Attributes:
        index: when frames are shown.
        decoded: how many frames have been decoded so far.
        notes: what is wrong with the file and does not keep it from being read.

    Raises:
        ValueError: the file is missing, empty, not a video, a still image, audio only, or no frame decodes.
    """

    def __init__(self, source: Source) -> None:
        self.name, self.notes, self.decoded = source.quoted, list[str](), 0
        self._source, self._seeks, self._counted, self._broken = source, True, False, 0
        self._size: tuple[int, int]
        self._frame, self._place = None, 0  # the frame that was decoded last, and its place in the index
        self._container, self._stream = source.open()
        try:
            index = scan(self._container, self._stream)
            if index is None:
                raise ValueError(f"{self.name} is damaged or cut short: it has no frames")
            self.index: Index = index
            self._restart()
            if not index.sure or index.timeless:
                self._count()
            self.index = replace(self.index, ticks=self.index.ticks[self._place :])  # packets before it show nothing
            self._place = 0
        except Differs:
            pass
        except BaseException:
            self.close()
            raise

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def at(self, positions: Sequence[int]) -> Iterator[tuple[int, Pixels]]:
        """The frame at each of the ascending ``positions``: its tick and its pixels, (H, W, 3) uint8 RGB.

        Raises:
            Differs: the index is wrong and was replaced.
        """
        if positions and positions[0] < self._place:
            self._restart()
        for position in positions:
            self._approach(position)
            while self._place < position and self._next():
                pass
            yield int(self.index.ticks[self._place]), upright(self._frame, self._size)

    def _approach(self, position: int) -> None:
        """Seek, if a keyframe lies between the current frame and that at ``position``."""
        reached, tick = (int(self.index.ticks[place]) for place in (self._place, position))
        key = self.index.key_before(tick) if self._seeks else None
        if key is None or key[0] <= reached:
            return
        second = round(1 / self.index.base)
        # Containers seek by either time, and some to any packet, not only to keyframes: each try is further back.
        for back in (0, self.index.delay, *(self.index.delay + (second << power) for power in range(16))):
            if key[0] - back <= reached and back > self.index.delay:
                break
            if self._restart(key[0] - back, tick):
                self._seeks = bool(self.index.ticks[self._place] > reached)
                return
        self._seeks = False
        self._restart()

    def _restart(self, seek: int | None = None, limit: int | None = None) -> bool:
        """Go to the first frame of the file, or to a keyframe from ``seek`` to ``limit``; whether there is one."""
        import av

        try:
            if seek is None:
                self._reopen()
            else:
                self._container.seek(seek, stream=self._stream, backward=True)
        except av.FFmpegError:
            return False
        self._frames = self._decode(limit)
        frame = next(self._frames, None)
        if frame is None and seek is None:
            raise ValueError(f"{self.name} is damaged or cut short: its first frames do not decode")
        if frame is None or (limit is not None and frame.pts is not None and frame.pts > limit):
            return False
        ticks = self.index.ticks
        tick = int(ticks[0]) if self._counted or frame.pts is None else frame.pts
        self._frame, self._place = frame, min(int(np.searchsorted(ticks, tick)), len(ticks) - 1)
        if seek is None:
            self._size = display_size(frame, self._stream.sample_aspect_ratio)
        if ticks[self._place] != tick:
            self._count()
        return True

    def _next(self) -> bool:
        """Go to the next frame; whether there is one."""
        frame = next(self._frames, None)
        if not self._counted and (frame and frame.pts) != self.index.ticks[self._place + 1]:
            self._count()
        if frame is not None:
            self._frame, self._place = frame, self._place + 1
        return frame is not None

    def _reopen(self) -> None:
        self.close()
        self._container, self._stream = self._source.open()

    def _count(self) -> NoReturn:
        """Replace the index, which is wrong, by one of all frames that decode."""
        before, self._broken = self.index, 0
        self._reopen()
        times = [(frame.pts, frame.dts, frame.duration or 0) for frame in self._decode()]
        lost = max(before.lost, self._broken / (self._broken + len(times) + 1))
        self.index, self._counted, self._seeks = replace(in_order(times, self._stream), lost=lost), True, False
        if not before.timeless and before.total > self.index.total:
            self.notes.append(f"it has {before.total} pictures, and {self.index.total} of them are shown")
        self._restart()
        raise Differs

    def _decode(self, limit: int | None = None) -> Iterator[Any]:
        """Frames from the current position to the end; packets that do not decode are skipped.

        After a seek, the first keyframe is at ``limit`` at the latest, or there are no frames. Packets before it are
        skipped, and frames that are shown before it: these need frames from before the seek.
        """
        import av

        begun, start = False, None
        for packet in demux(self._container, self._stream):
            if limit is not None and start is None:
                if not packet.is_keyframe or packet.pts is None:
                    continue
                if packet.pts > limit or self.index.key_before(packet.pts) != (packet.pts, packet.size):
                    return  # too late, or MPEG program streams, where packets can have wrong times after a seek
                start = packet.pts
            if not packet.size and packet.dts is not None:
                continue  # a repeated frame of AVI; PyAV would take it for the end
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self._broken += begun
                continue
            for frame in frames:
                begun = True
                self.decoded += 1
                if start is None or frame.pts is None or frame.pts >= start:
                    yield frame
