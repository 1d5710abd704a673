"""Open a video file and read frame times and keyframe positions from its packets, without decoding."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from vidfold import extras

_AUDIO_PADDING = Fraction(1, 2)  # seconds by which a container's duration may exceed the end of its last packet


@dataclass(frozen=True)
class Timeline:
    """When a file's frames are shown. A tick is the stream's unit of time, ``base`` seconds.

    Attributes:
        first: tick of the first frame.
        last: tick of the last frame; if the file is cut short, where the header says it should be.
        reached: tick of the last frame that the file contains.
        base: seconds per tick.
        fps: average frames per second.
        duration: seconds from the first frame to the end of the last.
        total: number of frames: from the header, or else estimated from duration and rate.
        counted: whether ``total`` comes from the header.
    """

    first: int
    last: int
    reached: int
    base: Fraction
    fps: Fraction
    duration: float
    total: int
    counted: bool

    @property
    def period(self) -> Fraction:
        """Average number of ticks between frames."""
        return 1 / (self.fps * self.base)

    def seconds(self, tick: int) -> float:
        """Seconds from the first frame to ``tick``."""
        return float((tick - self.first) * self.base)


@dataclass
class _Extent:
    """How far packets reach: last tick and end of the video stream in ticks, latest end of all streams in seconds."""

    last: int | None = None
    end: int = 0
    seconds: Fraction = Fraction(0)


def open_video(path: Path) -> tuple[Any, Any]:
    """The opened container and its video stream; a `ValueError` says what is wrong with the file."""
    av = extras.load("av", "video")
    name = repr(str(path))
    if path.is_dir():
        raise ValueError(f"{name} is a folder; give the path of a video file")
    if not path.exists():
        raise ValueError(f"{name} does not exist; give the path of a video file")
    if not path.is_file():
        raise ValueError(f"{name} is not a regular file; give the path of a video file")
    if path.stat().st_size == 0:
        raise ValueError(f"{name} is empty (0 bytes); give a video file")
    try:
        # Absolute: FFmpeg would read a relative "12:30.mp4" as a protocol.
        container = av.open(str(path.absolute()), **_tolerant_of_tags(av.__version__))
    except av.FFmpegError as error:
        raise ValueError(
            f"{name} cannot be read as a video ({error.strerror}): it is damaged, cut short or not a video"
        ) from error
    try:
        return container, _video_stream(container, name)
    except ValueError:
        container.close()
        raise


def _tolerant_of_tags(version: str) -> dict[str, str]:
    """Arguments of ``av.open`` to accept tags that are not UTF-8; PyAV 19 needs none."""
    return {"metadata_errors": "replace"} if int(version.partition(".")[0]) < 19 else {}


def _video_stream(container: Any, name: str) -> Any:
    kind = container.format.name
    if kind == "tty":  # FFmpeg renders plain text as pictures
        raise ValueError(f"{name} is a text file; give a video file")
    cover = extras.load("av", "video").stream.Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not streams:
        held = sorted({stream.type for stream in container.streams})
        raise ValueError(f"{name} has no video stream, it has {' and '.join(held) or 'no stream'}; give a video file")
    stream = streams[0]
    if kind.endswith("_pipe") or kind == "image2" or (stream.frames == 1 and not stream.duration):
        animated = " or an animated WebP, which FFmpeg does not read" if kind == "webp_pipe" else ""
        raise ValueError(f"{name} is a still image{animated}; give a video file")
    if stream.codec_context is None:  # decoding would crash PyAV before 18.1
        raise ValueError(f"{name} is damaged or cut short: its header does not name a codec")
    return stream


def demux(container: Any, *streams: Any) -> Iterator[Any]:
    """Packets of the given streams (none: all) from the current position to the end; the last ones are empty."""
    try:
        yield from container.demux(*streams)
    except IndexError:
        return  # at the end, PyAV fails on streams that appeared midway; all packets were already given


class Scout:
    """An open video file that reads packets and never decodes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._container, self._stream = open_video(path)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def timeline(self, first: int) -> Timeline:
        """The file's timeline, given the tick of its first frame.

        Reads the packets after the last keyframe to find the last frame, or all packets if the file cannot seek. If
        packets end before the duration in the header, the file is cut short.
        """
        stream, base = self._stream, self._stream.time_base
        fps = stream.average_rate or stream.guessed_rate or Fraction(25)
        period = math.ceil(1 / (fps * base))
        extent = _Extent(end=first + period)
        claimed = self._claimed_end()
        for packets in (self._tail(claimed, first), self._all_packets()):
            found = _extent(packets, stream.index)
            if found.last is not None:
                extent = found
                break
        last = reached = first if extent.last is None else max(first, extent.last)
        end = max(extent.end, last + 1)
        if claimed is not None and _is_short(extent, claimed, 2 * period, stream):
            last, end = max(last, claimed - period), claimed
        duration = float((end - first) * base)
        total = stream.frames or max(1, round(duration * fps))
        return Timeline(first, last, reached, base, fps, duration, total, counted=bool(stream.frames))

    def count(self) -> int:
        """The exact number of frames; reads the whole file."""
        return sum(packet.size > 0 and packet.stream.index == self._stream.index for packet in self._all_packets())

    def keyframe(self, tick: int, floor: int) -> tuple[int, int] | None:
        """Tick to seek to, so that a keyframe at or before ``tick`` is read next, and the tick of that keyframe.

        Some containers seek to any packet, not only to keyframes, so this searches further and further back until
        ``floor``; None if it finds no keyframe after ``floor``.
        """
        import av

        back, step = 0, math.ceil(1 / self._stream.time_base)
        while tick - back > floor:
            try:
                self._container.seek(tick - back, stream=self._stream, backward=True)
                key = self._next_keyframe(tick)
            except av.FFmpegError:
                return None  # this format cannot seek
            if key is not None:
                return tick - back, key
            back += step
            step *= 2
        return None

    def _next_keyframe(self, limit: int) -> int | None:
        """Tick of the next keyframe from the current position if it is at or before ``limit``."""
        for packet in demux(self._container, self._stream):
            tick = _tick(packet)
            if tick is None or tick > limit:
                return None
            if packet.is_keyframe:
                return tick
        return None

    def _claimed_end(self) -> int | None:
        """Tick at which the video ends according to the header; None if the header does not say."""
        if self._stream.duration:
            return int((self._stream.start_time or 0) + self._stream.duration)
        if self._container.duration:
            microseconds = (self._container.start_time or 0) + self._container.duration
            return int(Fraction(microseconds, 1_000_000) / self._stream.time_base)
        return None

    def _tail(self, claimed: int | None, first: int) -> Iterator[Any]:
        """Packets of all streams from the last keyframe on; empty if no keyframe is found."""
        import av

        key = None if claimed is None else self.keyframe(claimed, floor=first)
        if key is None:
            return
        try:
            self._container.seek(key[0], stream=self._stream, backward=True)
            yield from demux(self._container)
        except av.FFmpegError:
            return

    def _all_packets(self) -> Iterator[Any]:
        """Packets of all streams from the start, up to the first read error."""
        import av

        container, _ = open_video(self._path)
        try:
            yield from demux(container)
        except av.FFmpegError:
            return
        finally:
            container.close()


def _extent(packets: Iterator[Any], index: int) -> _Extent:
    extent = _Extent()
    for packet in packets:
        tick = _tick(packet)
        if tick is None or packet.is_corrupt:
            continue
        end = tick + (packet.duration or 0)
        extent.seconds = max(extent.seconds, end * packet.time_base)
        if packet.stream.index == index:
            extent.last = tick if extent.last is None else max(extent.last, tick)
            extent.end = max(extent.end, end)
    return extent


def _is_short(extent: _Extent, claimed: int, tolerance: int, stream: Any) -> bool:
    if stream.duration:
        return extent.end + tolerance < claimed
    return bool(extent.seconds + _AUDIO_PADDING < claimed * stream.time_base)


def _tick(packet: Any) -> int | None:
    """Presentation time of the packet's frame; decoding time in old containers that lack it."""
    tick = packet.dts if packet.pts is None else packet.pts
    return None if tick is None else int(tick)
