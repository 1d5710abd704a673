"""Questions about a film without an end: memory, time, and right answers about now and about long ago.

    .venv/bin/python -m lab.stream --frames 20000 [--films 4] [--output benchmarks/stream]

The embedded model watches films of its small world, rendered on the fly: scenes that change every 40 to 200 frames, and
eight objects of different colours, each shown for 16 frames, once, in the first half. When one has been shown, and
before the next frame, three questions about it and one about the scene are asked: perception. After every quarter of
the film the three questions about every object so far are asked again: recall. Chance is 1/6 to 1/4.

Beside the stream, from the same tokens of the vision tower: the last four frames alone (SimpleStream), as many last
frames as the limit takes (sliding window), and as many frames of all as it takes, evenly spread (uniform). They
are read whole. Memory is that of the process, which reads and answers on one thread; another one renders. Times are
of the processor, not of the clock.
"""

import argparse
import itertools
import json
import resource
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lab.stream_world import Part, apart
from vidfold import fold
from vidfold.app.loading import VideoModel, load
from vidfold.app.progress import Progress
from vidfold.app.tables import amount, duration, table
from vidfold.bench.provenance import provenance
from vidfold.reading import Stream
from vidfold.reading.fading import Span
from vidfold.reducers import get
from vidfold.tiny.questions import Question

KINDS = ("shape", "scene", "behind", "where")
LAST = "what is the last scene?"
STREAM, FOUR, WINDOW, UNIFORM = WAYS = "stream", "last 4 frames", "sliding window", "uniform"
Pixels = NDArray[np.uint8]
Row = dict[str, Any]
EVERY = 1000
"""Frames between two measurements of costs."""
AGES = (0, 1000, 10_000, 100_000, 1_000_000)
"""Ages in frames between which recall is told apart."""


class Others:
    """Whole frames that the other ways keep of the same stream."""

    def __init__(self, room: int) -> None:
        """``room``: frames that the limit takes."""
        self.room, self.step, self.last, self.even = room, 1, list[Span](), list[Span]()

    def add(self, block: Span, cells: int) -> None:
        """The frames of a block."""
        for at in range(0, len(block), cells):
            part, number = slice(at, at + cells), block.first + at // cells
            frame = Span(number, number, block.tokens[part], block.times[part], block.cells[part])
            self.last = [*self.last, frame][-self.room :]
            if number % self.step == 0:
                self.even.append(frame)
            if len(self.even) > self.room:
                self.step *= 2
                self.even = [each for each in self.even if each.first % self.step == 0]

    def kept(self, way: str) -> list[Span]:
        """Those of a way."""
        return {FOUR: self.last[-4:], WINDOW: self.last, UNIFORM: self.even}[way]


class Watcher:
    """One film seen in all ways.

    Attributes:
        film: its number.
        answers: rows of film, way, when (now, past), kind, age in frames, and whether the answer is right.
        costs: rows every `EVERY` frames.
    """

    def __init__(
        self, loaded: VideoModel, options: argparse.Namespace, film: int, answers: list[Row], costs: list[Row]
    ) -> None:
        """Rows are added to ``answers`` and ``costs``."""
        with fold(loaded.model, get("aot", retention=options.retention)) as folded:
            self.stream: Stream = folded.stream(loaded.processor, max_tokens=options.max_tokens, block=options.block)
        self.film, self.answers, self.costs = film, answers, costs
        self._options, self._spent = options, list[float]()
        self._others: Others | None = None
        self._past: list[tuple[int, Question]] = []

    def watch(self, part: Part) -> None:
        """A shot, with the questions about what it shows."""
        shown = part.seen - part.first
        self._push(part.frames[:shown])
        if part.shown is not None:
            self._ask("now", [*((0, each) for each in part.questions), (0, Question("scene", LAST, part.scene))])
            self._past += [(part.seen, each) for each in part.questions]
        self._push(part.frames[shown:])

    def recall(self) -> None:
        """The questions about everything that was shown."""
        now = self.stream.state().frames
        if self._past:
            self._ask("past", [(now - seen, each) for seen, each in self._past])

    def _push(self, frames: Pixels) -> None:
        size = self._options.block
        for at in range(0, len(frames), size):
            start = time.process_time()
            self.stream.push(frames[at : at + size])
            self._spent.append(1000 * (time.process_time() - start))
            block = self.stream.spans[-1]
            self._others = self._others or Others(self._options.max_tokens * size // len(block))
            self._others.add(block, len(block) // size)
            if (block.last + 1) // EVERY > block.first // EVERY:
                self._measure()

    def _measure(self) -> None:
        """What the stream takes: memory, a push, and reading it in both ways."""
        state, spans, reading = self.stream.state(), self.stream.spans, list[float]()
        for read in (self.stream.video, lambda: self.stream.reading(spans)):
            start = time.process_time()
            read()
            reading.append(1000 * (time.process_time() - start))
        row: Row = {
            "film": self.film,
            "frames": state.frames,
            "tokens": state.tokens,
            "spans": len(state.spans),
            "bytes": state.nbytes,
        }
        row |= {"limit": state.max_nbytes, "resident": resident(), "push": statistics.median(self._spent)}
        self.costs.append(row | {"changed": reading[0], "all": reading[1]})
        self._spent = []

    def _ask(self, when: str, asked: Sequence[tuple[int, Question]]) -> None:
        assert self._others is not None
        for way in WAYS:
            video = self.stream.video() if way == STREAM else self.stream.reading(self._others.kept(way))
            texts = video.ask([each.text for _, each in asked], max_new_tokens=2)
            for (age, each), text in zip(asked, texts, strict=True):
                row = {"film": self.film, "way": way, "when": when, "kind": each.kind, "age": age}
                self.answers.append(row | {"right": text == each.answer})


def resident() -> int:
    """Bytes of the process in memory."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def share(rows: Sequence[Row], way: str) -> str:
    """Right answers of a way in %, with the standard error over films."""
    chosen = [row for row in rows if row["way"] == way]
    films = [
        [row["right"] for row in chosen if row["film"] == film] for film in sorted({row["film"] for row in chosen})
    ]
    means = [100 * statistics.mean(each) for each in films]
    spread = f" ± {statistics.stdev(means) / len(means) ** 0.5:.1f}" if len(means) > 1 else ""
    return f"{statistics.mean(means):.1f}{spread}"


def report(answers: Sequence[Row], costs: Sequence[Row]) -> str:
    """Tables of answers and costs."""
    rows: list[tuple[str, ...]] = [("right answers, %", "questions", *WAYS)]
    for when, told in (("now", "perception"), ("past", "recall")):
        chosen = [row for row in answers if row["when"] == when]
        parts = {told: chosen}
        parts |= {f"- {kind}": [row for row in chosen if row["kind"] == kind] for kind in KINDS}
        for least, most in itertools.pairwise(AGES):
            some = [row for row in chosen if least < row["age"] <= most]
            parts[f"- {least:,} to {most:,} frames later"] = some
        counts = {name: str(len(some) // len(WAYS)) for name, some in parts.items() if some}
        rows += [(name, counts[name], *(share(parts[name], way) for way in WAYS)) for name in counts]
    lines: list[tuple[str, ...]] = [
        ("frames", "tokens", "spans", "held", "limit", "process", "a push", "reads changes", "reads all")
    ]
    first = [row for row in costs if row["film"] == costs[0]["film"]]
    for at in sorted({0, len(first) // 4, len(first) // 2, 3 * len(first) // 4, len(first) - 1}):
        row = first[at]
        counted = (str(row[name]) for name in ("frames", "tokens", "spans"))
        bytes_ = (amount(row[name], "B") for name in ("bytes", "limit", "resident"))
        lines.append((*counted, *bytes_, *(duration(row[name]) for name in ("push", "changed", "all"))))
    grown = max(row["resident"] for row in first) / first[0]["resident"] - 1
    memory = f"memory of the process after the first {first[0]['frames']} frames: at most {grown:+.1%}"
    return "\n\n".join((table(rows), table(lines), memory))


def main() -> None:
    """Watch the films; print tables, and write them with all rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=20000, help="of every film")
    parser.add_argument("--films", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first film")
    parser.add_argument("--max-tokens", type=int, default=512)
    parser.add_argument("--block", type=int, default=4, choices=(1, 2, 4))
    parser.add_argument("--retention", type=float, default=0.1)
    parser.add_argument("--output", type=Path, help="folder for rows and tables, written after every quarter")
    options = parser.parse_args()
    torch.set_num_threads(1)
    loaded, answers, costs = load("tiny", device="cpu"), list[Row](), list[Row]()
    for number in range(options.first, options.first + options.films):
        watcher, progress = Watcher(loaded, options, number, answers, costs), Progress(f"film {number}, frame")
        quarters = iter([share * options.frames // 4 for share in (1, 2, 3, 4)])
        due = next(quarters)
        for part in apart(number, options.frames, options.frames // 2):
            watcher.watch(part)
            seen = part.first + len(part.frames)
            progress(min(seen, options.frames), options.frames)
            if seen >= due:
                due = next(quarters, seen + options.frames)
                watcher.recall()
                if options.output is not None and costs:
                    _write(options, provenance(loaded.model), answers, costs)
    print(report(answers, costs))


def _write(options: argparse.Namespace, about: Row, answers: Sequence[Row], costs: Sequence[Row]) -> None:
    """All rows and tables of them."""
    options.output.mkdir(parents=True, exist_ok=True)
    settings = {name: str(value) for name, value in vars(options).items()} | about
    rows = {"settings": settings, "costs": costs, "answers": answers}
    (options.output / "rows.json").write_text(json.dumps(rows, indent=1) + "\n")
    (options.output / "tables.txt").write_text(report(answers, costs) + "\n")


if __name__ == "__main__":
    main()
