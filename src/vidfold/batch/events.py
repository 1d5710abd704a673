"""What an engine tells the scheduler, and what the scheduler asks of an engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from vidfold.batch.rows import Row
from vidfold.batch.settings import Resources
from vidfold.batch.tally import Tally
from vidfold.batch.tasks import Task


@dataclass(frozen=True)
class Ready:
    """A worker has loaded its model, whose weights have this fingerprint."""

    worker: int
    fingerprint: str


@dataclass(frozen=True)
class Refused:
    """A worker cannot load the model, and no other one could."""

    worker: int
    reason: str


@dataclass(frozen=True)
class Answered:
    """A worker has answered a video that it was given under this number."""

    worker: int
    number: int
    rows: Sequence[Row]


@dataclass(frozen=True)
class Died:
    """A worker's process has ended, and with it all that it was given."""

    worker: int
    reason: str


Event = Ready | Refused | Answered | Died


class Engine(Protocol):
    """Where workers run. Workers are called 0 to ``resources.workers`` - 1."""

    resources: Resources

    def start(self, worker: int) -> None:
        """Start a worker, or start it again; `Ready` or `Refused` follows."""

    def give(self, worker: int, number: int, task: Task) -> None:
        """Give a worker a video."""

    def events(self, seconds: float) -> Sequence[Event]:
        """What has happened, waiting so long for something to happen."""

    def stop(self, worker: int) -> None:
        """End a worker's process; `Died` follows."""

    def show(self, tally: Tally) -> None:
        """Tell how far the run is, where the engine has a place for that."""

    def close(self) -> None:
        """End all processes."""
