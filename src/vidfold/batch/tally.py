"""How far a run is."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from vidfold.batch.rows import Row

MODEL = ("preprocess", "encode", "fold", "splice", "read", "generate")
"""Stages in which a worker's model is at work, one at a time; its decoders work beside it."""


@dataclass
class Tally:
    """Counts of a run, while it runs and at its end.

    Attributes:
        total: rows that are wanted.
        before: rows that were there when it began.
        workers: how many there are in all.
        decoders: of all workers.
        ready: workers whose model is loaded.
        rows: new ones.
        errors: rows with an error, old ones too.
        restarts: workers that were started again.
        tokens_before: of all new rows.
        tokens_after: likewise.
        seconds: of stages, of all new rows.
        began: when the first worker was ready, by `time.monotonic`; before that, when the run began.
    """

    total: int
    before: int
    workers: int
    decoders: int
    errors: int = 0
    ready: int = 0
    rows: int = 0
    restarts: int = 0
    tokens_before: int = 0
    tokens_after: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    began: float = field(default_factory=time.monotonic)

    def note_ready(self) -> None:
        """Count a worker that has loaded its model."""
        if not self.rows and not self.ready:
            self.began = time.monotonic()
        self.ready += 1

    def add(self, rows: Sequence[Row]) -> None:
        """Count new rows."""
        for each in rows:
            self.rows += 1
            self.errors += each["error"] is not None
            self.tokens_before += each["tokens_before"] or 0
            self.tokens_after += each["tokens_after"] or 0
            for stage, value in (each["seconds"] or {}).items():
                self.seconds[stage] += value or 0.0

    @property
    def done(self) -> int:
        """Rows that are there."""
        return self.before + self.rows

    @property
    def elapsed(self) -> float:
        """Seconds since `began`."""
        return time.monotonic() - self.began

    @property
    def rate(self) -> float:
        """New rows a second."""
        return self.rows / max(self.elapsed, 1e-9)

    @property
    def left(self) -> float | None:
        """Seconds until the end, at the rate so far; None before the first row."""
        return (self.total - self.done) / self.rate if self.rows else None

    @property
    def use(self) -> dict[str, float]:
        """Share of the time in which decoders, and models, were at work."""
        model = sum(self.seconds[stage] for stage in MODEL)
        workers, decoders = max(1, self.workers), max(1, self.decoders)
        return {"decode": self.seconds["decode"] / decoders / self.elapsed, "model": model / workers / self.elapsed}

    def __str__(self) -> str:
        told = [f"{self.done}/{self.total}"]
        if self.ready < self.workers:
            told.append(f"{self.ready} of {self.workers} workers ready")
        if self.left is not None:
            told.append(f"{self.rate:.3g} a second, {_span(self.left)} left")
            told.append("busy: " + ", ".join(f"{stage} {100 * share:.0f} %" for stage, share in self.use.items()))
        if self.errors:
            told.append(f"{self.errors} {'error' if self.errors == 1 else 'errors'}")
        if self.restarts:
            told.append(f"{self.restarts} restarts")
        return "; ".join(told)


def _span(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{seconds:.0f} s" if seconds < 100 else f"{minutes} min" if not hours else f"{hours} h {minutes} min"
