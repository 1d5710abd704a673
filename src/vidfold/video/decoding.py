"""Decode chosen frames of a video file with PyAV: seek to a keyframe if that saves work, or else decode forward."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vidfold.video.index import Index, demux, in_order, scan
from vidfold.video.sources import Source
from vidfold.video.upright import Pixels, display_size, upright

MOST_COUNTED = 20_000
"""Frames up to which a file is decoded completely if its packets do not say what is shown: some tens of seconds."""
MOST_LOST = 0.1
"""Share of a video that may be missing or damaged."""
_LATE = 10
"""Average frames between a time and the frame that stands for it, from which on a frame is missing."""


class Differs(Exception):
    """What decodes differs from the index; the decoder has a new index, to choose frames from again."""


@dataclass(frozen=True)
class _Shown:
    tick: int
    frame: Any


class Decoder:
    """One open video file.

    Frames are chosen by an index of the packets, and what decodes is compared with it: some packets show nothing, and
    some have wrong times. If they differ, the whole file is decoded once, for an index of what is really shown. A file
    too long for that is read by the times of its frames.

    Attributes:
        index: when frames are shown.
        decoded: how many frames have been decoded so far.
        notes: what is wrong with the file and does not keep it from being read.

    Raises:
        ValueError: the file is missing, empty, not a video, a still image, audio only, or no frame decodes.
    """

    def __init__(self, source: Source) -> None:
        self.name, self.notes, self.decoded = source.quoted, list[str](), 0
        self._source, self._seeks, self._compared, self._counted, self._broken = source, True, True, False, 0
        self._container: Any = None
        self._current: _Shown
        self._ahead: _Shown | None = None
        self._size: tuple[int, int]
        self._place = 0  # in the index, of the frame that was decoded last
        container, stream = source.open()
        with container:
            index = scan(container, stream)
        if index is None:
            raise ValueError(f"{self.name} is damaged or cut short: it has no frames")
        self.index: Index = index
        try:
            self._restart()
            if not index.sure or index.timeless:
                self._disagree()
            self.index = replace(self.index, ticks=self.index.ticks[self._place :])  # packets before it show nothing
            self._place = 0
        except Differs:
            pass
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Decoder":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._container is not None:
            self._container.close()

    def at(self, positions: Sequence[int]) -> Iterator[tuple[int, Pixels]]:
        """The frame at each of the ascending ``positions``: its tick and its pixels, (H, W, 3) uint8 RGB.

        Raises:
            Differs: the index is wrong and was replaced.
            ValueError: more frames than `MOST_LOST` are missing.
        """
        missing, late = 0, _LATE * (self.index.end - self.index.ticks[0]) / self.index.total
        for position in positions:
            tick = int(self.index.ticks[position])
            self._approach(tick)
            while self._current.tick < tick:
                self._ahead = self._ahead or self._next()
                if self._ahead is None or self._ahead.tick > tick:
                    break
                self._current, self._ahead = self._ahead, None
            missing += tick - self._current.tick > late
            yield self._current.tick, upright(self._current.frame, self._size)
        if missing > MOST_LOST * len(positions):
            raise ValueError(
                f"{self.name} is damaged: only {len(positions) - missing} of the {len(positions)} frames asked for "
                "decode"
            )
        if missing:
            self.notes.append(f"{missing} frames do not decode; the frame before stands for each")

    def _approach(self, tick: int) -> None:
        """Seek, if a keyframe lies between the current frame and ``tick``."""
        key = self.index.key_before(tick) if self._seeks else None
        if key is None or key[0] <= (self._ahead or self._current).tick:
            return
        reached, second = self._current.tick, round(1 / self.index.base)
        # Containers seek by either time, and some to any packet, not only to keyframes: each try is further back.
        for back in (0, self.index.delay, *(self.index.delay + (second << power) for power in range(16))):
            if key[0] - back <= reached and back > self.index.delay:
                break
            if self._restart(key[0] - back, tick):
                self._seeks = self._current.tick > reached
                return
        self._seeks = False
        self._restart()

    def _restart(self, seek: int | None = None, limit: int | None = None) -> bool:
        """Go to the first frame of the file, or to a keyframe from ``seek`` to ``limit``; whether there is one."""
        import av

        if seek is None:
            self.close()
            self._container, self._stream = self._source.open()
        try:
            if seek is not None:
                self._container.seek(seek, stream=self._stream, backward=True)
        except av.FFmpegError:
            return False
        self._frames = self._decode(limit)
        frame, self._ahead = next(self._frames, None), None
        if frame is None and seek is None:
            raise ValueError(f"{self.name} is damaged or cut short: its first frames do not decode")
        if frame is None or (limit is not None and frame.pts is not None and frame.pts > limit):
            return False
        ticks = self.index.ticks
        if self._counted:
            self._place, tick = 0, int(ticks[0])
        else:
            tick = int(ticks[0]) if frame.pts is None else frame.pts
            self._place = min(int(np.searchsorted(ticks, tick)), len(ticks) - 1)
        self._current = _Shown(tick, frame)
        if seek is None:
            self._size = display_size(frame, self._stream.sample_aspect_ratio)
        if ticks[self._place] != tick:
            self._disagree()
        return True

    def _next(self) -> _Shown | None:
        """The frame after the one that was decoded last."""
        frame, self._place = next(self._frames, None), self._place + 1
        expected = int(self.index.ticks[self._place]) if self._place < self.index.total else None
        if self._counted:
            return None if frame is None or expected is None else _Shown(expected, frame)
        if self._compared and expected != (frame and frame.pts):
            self._disagree()
        return None if frame is None else _Shown(self._current.tick if frame.pts is None else frame.pts, frame)

    def _disagree(self) -> None:
        """Replace an index that is wrong, or stop comparing with it if the file is too long."""
        if not self._compared:
            return
        self._compared, before = False, self.index
        if before.total > MOST_COUNTED and not before.timeless:
            self.notes.append(
                "the times of its packets are not those of its frames; frames were taken by their own times"
            )
            return
        self._count()
        if not before.timeless and before.total > self.index.total:
            self.notes.append(f"it has {before.total} pictures, and {self.index.total} of them are shown")
        self._restart()
        raise Differs

    def _count(self) -> None:
        """An index of all frames that decode."""
        self.close()
        self._container, self._stream = self._source.open()
        self._broken = 0
        times = [(frame.pts, frame.dts, frame.duration or 0) for frame in self._decode()]
        lost = max(self.index.lost, self._broken / (self._broken + len(times) + 1))
        self.index, self._counted, self._seeks = replace(in_order(times, self._stream), lost=lost), True, False

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
