"""When each frame of a video is shown, read from its packets: nothing is decoded and no header is believed."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ticks = NDArray[np.int64]

_MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
"""States how long its video is: the sum of all steps of the decoding times."""
_STATE_END = {"matroska,webm", "flv", "asf", "avi"}
"""Containers that state when the last of their streams ends. All others only estimate what they hold."""
NO_KEYS = np.empty((0, 2), np.int64)


@dataclass(frozen=True, eq=False)
class Index:
    """When a video's frames are shown. A tick is the stream's unit of time, ``base`` seconds.

    Attributes:
        ticks: (N,) int64, ascending: when each frame is shown.
        end: tick at which the last frame ends.
        base: seconds per tick.
        keys: (K, 2) int64, ascending: presentation time and bytes of the packets where decoding can start.
        delay: the most ticks from the decoding of a keyframe to its presentation.
        lost: share of the video that the file states and does not contain, or that does not decode.
        sure: whether every packet has a presentation time of its own.
        timeless: whether frames cannot be found by their times: there are none, or they start again in the middle.
    """

    ticks: Ticks
    end: int
    base: Fraction
    keys: Ticks
    delay: int = 0
    lost: float = 0.0
    sure: bool = True
    timeless: bool = False

    @property
    def total(self) -> int:
        """Number of frames."""
        return len(self.ticks)

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last."""
        return self.seconds(self.end)

    @property
    def fps(self) -> float:
        """Frames per second, on average."""
        return self.total / self.duration

    def seconds(self, tick: int) -> float:
        """Seconds from the first frame to ``tick``."""
        return float((tick - int(self.ticks[0])) * self.base)

    def key_before(self, tick: int) -> tuple[int, int] | None:
        """The last of `keys` at or before ``tick``."""
        row = int(np.searchsorted(self.keys[:, 0], tick, side="right")) - 1
        return None if row < 0 else (int(self.keys[row, 0]), int(self.keys[row, 1]))


def demux(container: Any, *streams: Any) -> Iterator[Any]:
    """Packets of the given streams (none: all), up to the end or the first read error; the last ones are empty."""
    import av

    try:
        yield from container.demux(*streams)
    except (IndexError, av.FFmpegError):
        return  # IndexError: at the end, PyAV fails on streams that appeared midway; all packets were already given


def scan(container: Any, stream: Any) -> Index | None:
    """The index of a stream from all packets of its newly opened container; None if there are no packets.

    Takes 24 bytes of memory per frame.
    """
    kind, base = container.format.name, stream.time_base
    length = stream.duration if kind == _MP4 else None
    ending = container.duration if kind in _STATE_END else None
    ticks, lengths, keys = array("q"), array("q"), array("q")
    count, delay, begin, previous, latest, sure, timeless = 0, 0, None, None, Fraction(0), True, False
    for packet in demux(container) if ending else demux(container, stream):
        if not packet.size:
            continue
        shown = packet.dts if packet.pts is None else packet.pts
        if ending and shown is not None:
            latest = max(latest, (shown + (packet.duration or 0)) * packet.time_base)
        if packet.stream.index != stream.index:
            continue
        count += 1
        sure = sure and packet.pts is not None
        timeless = timeless or shown is None
        if packet.dts is not None:
            begin = packet.dts if begin is None else begin
            timeless = timeless or (previous is not None and is_restart(packet.dts - previous, base))
            previous, last = packet.dts, packet.dts + (packet.duration or 0)
        if packet.is_keyframe and packet.pts is not None:
            keys.extend((packet.pts, packet.size))
            delay = max(delay, packet.pts - (packet.pts if packet.dts is None else packet.dts))
        if not packet.is_discard:
            ticks.append(count if shown is None else shown)
            lengths.append(packet.duration or 0)
    if not ticks:
        return None
    order = np.argsort(ticks, kind="stable")
    moments, starts = np.array(ticks)[order], np.array(keys, np.int64).reshape(-1, 2)
    lost = 0.0
    if ending:
        lost = 1 - float(latest / Fraction(ending, 1_000_000))
    elif length and begin is not None:
        lost = 1 - (last - begin) / length
    return Index(
        ticks=np.unique(moments),
        end=int(moments[-1]) + last_length(moments, np.array(lengths)[order], bool((np.diff(order) < 0).any()), stream),
        base=base,
        keys=starts[np.argsort(starts[:, 0])],
        delay=delay,
        lost=max(0.0, lost),
        sure=sure and len(np.unique(moments)) == len(moments),
        timeless=timeless,
    )


def in_order(times: Sequence[tuple[int | None, int | None, int]], stream: Any) -> Index:
    """The index of a stream from all of its decoded frames as they are shown.

    Args:
        times: of each frame its presentation time, the decoding time of its packet, and how long it is shown.
        stream: its rate gives the times where there are none.
    """
    base, period = stream.time_base, _period(stream)
    shown, decoded, lengths = ([row[column] for row in times] for column in range(3))
    if not _ascends(shown, base) and _ascends(decoded, base):
        shown = decoded  # such as h264 in AVI, where FFmpeg guesses presentation times
    ticks, shift = list[int](), 0
    for time in shown:
        last = ticks[-1] if ticks else None
        tick = (last or 0) + period if time is None else time + shift
        if last is not None and is_restart(tick - last, base):
            shift, tick = shift + last + period - tick, last + period
        ticks.append(tick if last is None else max(tick, last + 1))
    array = np.array(ticks, np.int64)
    end = ticks[-1] + last_length(array, np.array(lengths), True, stream)
    return Index(array, end, base, NO_KEYS)


def _ascends(times: Sequence[int | None], base: Fraction) -> bool:
    """Whether each known time is later than the one before, or starts again."""
    known = np.array([time for time in times if time is not None], np.int64)
    return all(step > 0 or is_restart(int(step), base) for step in np.diff(known))


def _period(stream: Any) -> int:
    """Ticks between frames by the stream's rate; 25 frames a second if it has none."""
    rate: Fraction = stream.guessed_rate or stream.average_rate or Fraction(25)
    return max(1, round(1 / (rate * Fraction(stream.time_base))))


def is_restart(step: int, base: Fraction) -> bool:
    """Whether times start again where they go ``step`` ticks on: joined recordings.

    Joined transport streams go back, or, because their times wrap around at 33 bits, forward by most of those.
    """
    return bool(step * base < -1 or step > 2**32)


def last_length(ticks: Ticks, lengths: Ticks, reordered: bool, stream: Any) -> int:
    """Ticks for which the last frame is shown, given the times and stated lengths of all frames as they are shown.

    Where frames are stored in another order than shown, a stated length can belong to another frame: mp4 stores the
    steps of the decoding times. The shortest is safe then.
    """
    stated = lengths[lengths > 0] if reordered else lengths[-1:]
    steps = np.diff(ticks)
    for known in (stated, steps[steps > 0]):
        if known.size and known.min() > 0:
            return int(known.min())
    return _period(stream)
