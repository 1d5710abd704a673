"""What a folded call did: tokens before and after, and the time of its stages."""

import html
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vidfold.models.partial.encoding import Spent
from vidfold.show.inline import drawing
from vidfold.show.page import Film, Page, View
from vidfold.tokens import Reduction

STAGES = ("encode", "fold", "splice")


class Clock:
    """Marks between stages, taken without waiting for the device and read when asked for."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._marks: list[Any] = []
        self.mark()

    def mark(self) -> None:
        """End a stage here."""
        if self._device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            event.record(torch.cuda.current_stream(self._device))
            self._marks.append(event)
        else:
            self._marks.append(time.perf_counter())

    def laps(self) -> list[float]:
        """Milliseconds between marks; waits for the device."""
        pairs = zip(self._marks, self._marks[1:], strict=False)
        if self._device.type == "cuda":
            self._marks[-1].synchronize()
            return [start.elapsed_time(end) for start, end in pairs]
        return [1000 * (end - start) for start, end in pairs]

    def milliseconds(self) -> dict[str, float]:
        """Stage -> milliseconds."""
        return dict(zip(STAGES, self.laps(), strict=False))


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """What the last call through a folded model did.

    Tokens `before` and `after` are those before the language model; what is dropped inside it stands apart in `layers`.

    Attributes:
        reductions: one a video, in the order of the prompts, then one an image that was folded (two where the model
            reads an image in two grids); empty when the call carried nothing to fold.
        prompt_before: length of the prompts given, padding included.
        prompt_after: length of the prompts the language model read.
        closing: newline tokens of the model's own at the end of every video, kept outside every count.
        clock: of the stages; see `milliseconds`.
        layers: visual tokens of all videos that each layer of the language model read, where a method drops tokens
            between layers; else empty, since every layer read what `after` counts.
        images: how many of the reductions, the last ones, are images.
        tower: what the vision tower computed of the videos, where a tower method decided that; else None.
        method: what folded, in words.
    """

    reductions: tuple[Reduction, ...]
    prompt_before: int
    prompt_after: int
    closing: int = 0
    clock: Clock | None = None
    layers: tuple[int, ...] = ()
    images: int = 0
    tower: Spent | None = None
    method: str = ""

    @property
    def before(self) -> tuple[int, ...]:
        """Visual tokens of each video before, newlines not counted."""
        return tuple(each.full for each in self.reductions)

    @property
    def after(self) -> tuple[int, ...]:
        """Visual tokens of each video after, newlines not counted."""
        return tuple(len(each) - each.newlines for each in self.reductions)

    @property
    def newlines(self) -> tuple[int, ...]:
        """Newline tokens of each video that the language model read."""
        videos = len(self.reductions) - self.images
        return tuple(each.newlines + self.closing * (i < videos) for i, each in enumerate(self.reductions))

    @property
    def layer_retention(self) -> float:
        """Share of the visual tokens that a layer of the language model read, on average over its layers."""
        layers = self.layers or (sum(self.after),)
        return sum(layers) / (len(layers) * sum(self.before)) if self.reductions else 1.0

    @property
    def milliseconds(self) -> dict[str, float]:
        """Duration of the stages encode, fold and splice; empty when there was no video.

        On a GPU the device's own time, waited for here and not in the call; elsewhere wall-clock time.
        """
        return self.clock.milliseconds() if self.clock else {}

    def __repr__(self) -> str:
        return f"Report({self})"

    def show(self, frames: NDArray[np.uint8] | None = None, video: int = 0) -> Page:
        """A page on one of the videos: which tokens are left, and where the others went.

        In a notebook it is shown where it is the last value of a cell; ``page.save("report.html")`` writes it.

        Args:
            frames: (P, H, W, 3) uint8 RGB, the frames that were given to the processor; None draws cells without them.
            video: its number in the call.

        Raises:
            ValueError: a call without that video, or frames of another form.
        """
        if not 0 <= video < len(self.reductions):
            raise ValueError(f"video must be below {len(self.reductions)}, the videos of the call, got {video}")
        if frames is not None and (frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8):
            raise ValueError(f"frames must be (frames, height, width, 3) uint8, got {frames.shape} {frames.dtype}")
        reduction = self.reductions[video]
        notes = [] if reduction.weights is not None else ["for where cells went, use fold(model, method, weights=True)"]
        name = self.method or "folded"
        fold = View(
            name.partition("(")[0],
            name,
            reduction.retention,
            reduction.trace,
            milliseconds=self.milliseconds,
            notes=notes,
        )
        return Page(Film(f"Video {video + 1} of the last call", frames), [fold])

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(str(self))}</p>{''.join(drawing(each.trace) for each in self.reductions)}"

    def __str__(self) -> str:
        if not self.reductions:
            return f"no video: prompt of {self.prompt_after} tokens unchanged"
        before, after = sum(self.before), sum(self.after)
        stages = ", ".join(f"{name} {value:.0f} ms" for name, value in self.milliseconds.items())
        inside = f" before the language model, {self._inside()}" if self.layers else ""
        tower = f" | {self.tower}" if self.tower else ""
        return f"tokens {before} -> {after} ({100 * after / before:.1f} %){inside}{tower} | {stages}"

    def _inside(self) -> str:
        """The layers in words."""
        return in_words(self.layers, sum(self.before))


def in_words(layers: Sequence[int], full: int) -> str:
    """How many of ``full`` tokens each layer reads, by runs of layers that read the same number."""
    starts = [index for index, kept in enumerate(layers) if index == 0 or kept != layers[index - 1]]
    ends = [*starts[1:], len(layers)]
    parts = [
        f"{layers[start]} in layer{f's {start}-{end - 1}' if end - start > 1 else f' {start}'}"
        for start, end in zip(starts, ends, strict=True)
    ]
    return f"{100 * sum(layers) / (len(layers) * full):.1f} % on average inside: {', '.join(parts)}"
