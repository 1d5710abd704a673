"""Video without an end, in memory that does not grow: recent frames whole, older ones folded ever more."""

import dataclasses
import itertools
import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vidfold.models import Family
from vidfold.reading.fading import Span, fading, folded, joined
from vidfold.reading.held import Block, Held, restored, save
from vidfold.reading.limits import Limits, State, most_bytes
from vidfold.reading.processing import processed
from vidfold.reading.prompts import single, stretched
from vidfold.reading.video import FoldedVideo
from vidfold.reading.wording import Wording
from vidfold.reducers.aot import AOT
from vidfold.reducers.base import BudgetedReducer
from vidfold.reducers.baselines import Identity
from vidfold.tokens import Reduction
from vidfold.video import Frames

Pixels = NDArray[np.uint8]


class Stream:
    """A video that goes on; see `vidfold.Folded.stream`.

    Frames are encoded in blocks and then dropped. The last ``recent`` frames stay whole. An older block is a span of as
    many tokens as the method keeps of it. There is room for a fixed number of spans; where there is one more, the two
    neighbours that are shortest for their age become one, of as many tokens as either. So spans grow with their age,
    and tokens a frame fall as 1 / age: the resolution halves where the age doubles. Every token keeps the time and the
    place of what it stands for.

    The language model reads at the question, once for all questions up to the next `push`, and only from the first
    token on that has changed since it last read. Rotary positions in time (M-RoPE) count the frames that are kept.
    """

    def __init__(self, family: Family, method: Any, wording: Wording, limits: Limits) -> None:
        """``method`` folds blocks, and spans again; where it needs attention, `vidfold.AOT` folds those.

        Raises:
            ValueError: a family whose prompts have text between frames, or a method without an exact retention.
        """
        if family.text_between_frames:
            raise ValueError(
                f"prompts of {family.model_type} have text between frames, which would grow without end: streams are "
                "for families without"
            )
        if not isinstance(method, BudgetedReducer) or not method.exact:
            raise ValueError(f"{method!r} has no exact retention, which limits a stream: use one such as vidfold.AOT()")
        self.limits = limits
        self._family, self._wording, self._method = family, wording, method
        self._again = AOT() if method.needs else method
        self._pending: list[tuple[Pixels, float]] = []
        self._held = Held()
        self._video: FoldedVideo | None = None
        self._fresh = False  # whether it has all that was pushed
        self._lock = threading.RLock()

    def push(self, frames: Pixels, times: Sequence[float] | None = None) -> None:
        """Add frames.

        Args:
            frames: (F, H, W, 3) uint8, any number of one size, or one of (H, W, 3).
            times: of each in seconds, which go up; None counts on from the last one, a second each.

        Raises:
            ValueError: no frames, another form or size than before, times that do not go up, or the first time
                ``max_tokens`` too small for frames of this size.
        """
        frames = np.asarray(frames)
        frames = frames[None] if frames.ndim == 3 else frames
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
            raise ValueError(f"frames must be (frames, height, width, 3) uint8, got {frames.shape} {frames.dtype}")
        with self._lock:
            stamps = self._stamps(len(frames), times)
            if self._held.block is None:
                # The first frame, for as long as a block: a limit that is too small is told now.
                self._encoded([(frames[0], stamps[0] + number) for number in range(self.limits.block)])
            assert self._held.block is not None
            if self._held.block.size != frames.shape[1:3]:
                raise ValueError(f"frames must be {self._held.block.size} pixels as before, got {frames.shape[1:3]}")
            self._fresh = False
            for frame, stamp in zip(frames, stamps, strict=True):
                self._pending.append((frame.copy(), stamp))
                if len(self._pending) >= self.limits.block:
                    self._held.whole.append(self._encoded(self._pending))
                    self._held.frames, self._held.seconds = self.frames, self.seconds
                    self._pending = []
                self._age()

    def ask(self, question: str | Sequence[str], **settings: Any) -> Any:
        """Answer one question, or a list of them, about all that was pushed; see `FoldedVideo.ask`."""
        return self.video().ask(question, **settings)

    def video(self) -> FoldedVideo:
        """What the stream holds now as a video that was read, to ask, chat and save.

        Raises:
            ValueError: nothing was pushed.
        """
        with self._lock:
            if not self.frames:
                raise ValueError("nothing was pushed yet: push frames before you ask")
            if self._video is None or not self._fresh:
                self._video, self._fresh = self._read(), True
            return self._video

    @property
    def frames(self) -> int:
        """Frames that were pushed."""
        return self._held.frames + len(self._pending)

    @property
    def seconds(self) -> float:
        """Time of the last frame; -1 before the first."""
        return self._pending[-1][1] if self._pending else self._held.seconds

    @property
    def spans(self) -> list[Span]:
        """All that is kept, in order; frames of no full block are not in it."""
        with self._lock:
            return self._held.spans

    def state(self) -> State:
        """What the stream holds."""
        with self._lock:
            spans, block = self.spans, self._held.block
            pending = 0 if block is None else -(-len(self._pending) * block.whole // self.limits.block)
            read = 0 if self._video is None else self._video.nbytes
            return State(
                frames=self.frames,
                seconds=self.seconds if self.frames else None,
                tokens=sum(map(len, spans)) + pending,
                max_tokens=self.limits.max_tokens,
                nbytes=self._held.nbytes + sum(frame.nbytes for frame, _ in self._pending) + read,
                max_nbytes=most_bytes(self._family, self.limits, block),
                spans=tuple((each.first, each.last, len(each)) for each in spans),
            )

    def save(self, path: str | os.PathLike[str], **about: Any) -> int:
        """Write what the stream holds to a file, from which `restore` goes on; see `FoldedVideo.save`.

        Frames of a block that is not full are not in it: push them again, those from ``spans[-1].last + 1`` on.

        Args:
            path: of the file.
            about: more for its JSON.

        Returns:
            Size of the file in bytes.

        Raises:
            ValueError: no block is full yet, or no such folder.
        """
        with self._lock:
            return save(self._held, path, self._family, self._settings, about)

    def restore(self, path: str | os.PathLike[str]) -> dict[str, Any]:
        """Go on from a file of `save`, in a stream to which nothing was pushed; gives ``about``.

        Raises:
            ValueError: frames were pushed already; or a file of another model, other limits or another method, cut
                short or damaged.
        """
        with self._lock:
            if self.frames:
                raise ValueError(f"{self.frames} frames were pushed already: restore into a new stream")
            self._held, about = restored(path, self._family, self._settings)
            return about

    @property
    def _settings(self) -> dict[str, Any]:
        return dataclasses.asdict(self.limits) | {"method": repr(self._method)}

    def _stamps(self, count: int, times: Sequence[float] | None) -> list[float]:
        """Times of new frames."""
        if times is None:
            return [self.seconds + 1 + number for number in range(count)]
        stamps = [float(each) for each in times]
        if len(stamps) != count:
            raise ValueError(f"times must be one a frame, got {len(stamps)} for {count} frames")
        before = [self.seconds, *stamps] if self.frames else stamps
        for earlier, later in itertools.pairwise(before):
            if not later > earlier:
                raise ValueError(f"times must go up, got {later} after {earlier}")
        if not np.isfinite(stamps).all():
            raise ValueError(f"times must be finite, got {stamps}")
        return stamps

    @torch.no_grad()
    def _encoded(self, frames: Sequence[tuple[Pixels, float]]) -> tuple[Span, Span]:
        """Frames whole, and folded."""
        pixels, stamps = np.stack([frame for frame, _ in frames]), np.array([stamp for _, stamp in frames])
        fps = (len(frames) - 1) / (stamps[-1] - stamps[0]) if len(frames) > 1 else 1.0
        shown = Frames(pixels, stamps - stamps[0], len(frames) / fps, fps, len(frames), 0)
        family, wording = self._family, self._wording
        inputs = processed(family.model, wording.processor, [wording.opening], [shown])
        given = single(family, inputs, wording)
        (tokens,) = family.encode(given, self._method.needs)
        times = torch.from_numpy(stamps)
        whole, kept = (Span.of(method(tokens), self._held.frames, times) for method in (Identity(), self._method))
        if self._held.block is None:
            room = self.limits.room(len(whole), len(kept))
            height, width = pixels.shape[1:3]
            self._held.block = Block((height, width), tokens.language_grid, len(whole), len(kept), room)
            self._held.opening = {name: each for name, each in given.items() if not name.startswith("pixel_values")}
        return whole, kept

    def _age(self) -> None:
        """Fold what is no longer recent, and what is old again, until there is room."""
        limits, held = self.limits, self._held
        assert held.block is not None
        while held.whole and (len(held.whole) - 1) * limits.block + len(self._pending) >= limits.recent:
            held.old.append(held.whole.pop(0)[1])
        while len(held.old) > held.block.room:
            at = fading(held.old, held.frames)
            held.old[at : at + 2] = [folded(joined(held.old[at : at + 2]), held.block.kept, self._again)]

    def _read(self) -> FoldedVideo:
        """All that is kept, read by the language model."""
        spans = self.spans
        if self._pending:
            spans.append(self._encoded(self._pending)[0])
        return self.reading(spans, self._video)

    def reading(self, spans: Sequence[Span], before: FoldedVideo | None = None) -> FoldedVideo:
        """What the language model reads of spans of this stream.

        Tokens with which ``before`` begins too, another reading of this stream, are not read again.
        """
        assert self._held.block is not None
        kept, grid = joined(spans), self._held.block.grid
        cells = grid[0] * grid[1]
        seconds, frames = torch.unique(kept.times, return_inverse=True)
        full = len(seconds) * cells
        order = (frames * cells + kept.cells).argsort(stable=True)
        side = None if kept.side is None else kept.side[:, order]
        reduction = Reduction(kept.tokens[order], frames[order], kept.cells[order], grid, full, side=side)
        reduction = self._family.arranged(reduction)
        inputs = stretched(self._family, self._held.opening, len(seconds), self._family.placeholders(reduction))
        return FoldedVideo.of(
            self._family,
            inputs,
            self._family.splice(inputs, [reduction]),
            [reduction],
            before=before,
            method=f"a stream of {self.frames} frames by {self._method!r}",
            times=tuple(seconds.tolist()),
            duration=self.seconds,
            wording=self._wording,
        )
