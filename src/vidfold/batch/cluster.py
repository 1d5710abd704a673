"""Workers as actors of a Ray cluster."""

import socket
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from vidfold import extras
from vidfold.batch.events import Answered, Died, Event, Ready, Refused
from vidfold.batch.rows import Row
from vidfold.batch.settings import Resources, Settings
from vidfold.batch.tally import Tally
from vidfold.batch.tasks import Task
from vidfold.batch.worker import Worker

FAST = 5.0
"""Seconds that a cluster has to accept a connection."""


class Actor:
    """A worker in an actor's process."""

    def __init__(self, settings: Settings, resources: Resources) -> None:
        self._settings, self._resources = settings, resources
        self._finished: SimpleQueue[tuple[int, Future[list[Row]]]] = SimpleQueue()

    def load(self) -> tuple[bool, str]:
        """Whether the model loads, and its fingerprint or why it does not."""
        try:
            self._worker = Worker(self._settings, self._resources)
        except (ValueError, OSError, extras.MissingExtra) as error:
            return False, str(error)
        return True, self._worker.fingerprint

    def answer(self, given: Sequence[tuple[int, Task]]) -> list[tuple[int, list[Row]]]:
        """Take numbered videos, and give the rows of all that have been finished since; waits for the first."""
        for number, task in given:
            self._worker.submit(task).add_done_callback(partial(self._finish, number))
        found = [self._finished.get()]
        while not self._finished.empty():
            found.append(self._finished.get())
        return [(number, future.result()) for number, future in found]

    def _finish(self, number: int, future: "Future[list[Row]]") -> None:
        self._finished.put((number, future))


@dataclass
class _Seat:
    """What the driver knows of an actor.

    Attributes:
        actor: its handle.
        given: videos that it is told of in the next call.
        held: how many it was told of and has not answered.
    """

    actor: Any
    given: list[tuple[int, Task]] = field(default_factory=list)
    held: int = 0


class Cluster:
    """The engine of a Ray cluster, or of Ray on this machine; see `vidfold.batch.events.Engine`.

    Ray places the actors: workers without room wait until the cluster grows. An actor has one call at a time, which
    takes videos and brings all rows that are there by then. So where rows come fast, a call brings many.

    Attributes:
        actor: the class of its actors.

    Raises:
        MissingExtra: Ray is not installed.
        ValueError: no cluster answers at the address.
    """

    actor: type[Any] = Actor

    def __init__(self, settings: Settings, resources: Resources, address: str | None = None) -> None:
        self._ray = extras.load("ray", "ray")
        self.settings = settings
        self._own = not self._ray.is_initialized()
        if self._own:
            _connect(self._ray, address)
        there = self._ray.cluster_resources()
        self.resources = resources.placed(int(there.get("CPU", 1)))
        gpus = resources.gpus
        if gpus is None:
            gpus = float(resources.device in (None, "cuda", "auto") and there.get("GPU", 0) > 0)
        # A worker with more decoders than any node has cores would wait for ever. A head may have none, and nodes come.
        most = max((node["Resources"].get("CPU", 0) for node in self._ray.nodes()), default=0)
        decoders = self.resources.decoders or 1
        options = {"num_cpus": min(decoders, most or decoders), "num_gpus": gpus, "max_restarts": 0}
        self._actor = self._ray.remote(self.actor).options(**options)
        gauge = extras.load("ray.util.metrics", "ray").Gauge
        self._gauges = {name: gauge(f"vidfold_batch_{name}") for name in ("rows", "wanted", "errors")}
        self._seats: dict[int, _Seat] = {}
        self._idle = set[int]()  # workers without a call
        self._ended: SimpleQueue[tuple[int, Future[Any]]] = SimpleQueue()

    def start(self, worker: int) -> None:
        """Start a worker."""
        seat = self._seats[worker] = _Seat(self._actor.remote(self.settings, self.resources))
        self._follow(worker, seat.actor.load.remote())

    def give(self, worker: int, number: int, task: Task) -> None:
        """Give a worker a video."""
        self._seats[worker].given.append((number, task))

    def events(self, seconds: float) -> Sequence[Event]:
        """What has happened."""
        for worker in list(self._idle):
            seat = self._seats[worker]
            if seat.given or seat.held:
                self._idle.remove(worker)
                self._follow(worker, seat.actor.answer.remote(seat.given))
                seat.given, seat.held = [], seat.held + len(seat.given)
        found: list[Event] = []
        with suppress(Empty):
            found += self._events(*self._ended.get(timeout=seconds))
            while True:
                found += self._events(*self._ended.get_nowait())
        return found

    def stop(self, worker: int) -> None:
        """End a worker."""
        self._ray.kill(self._seats[worker].actor)

    def show(self, tally: Tally) -> None:
        """Set the gauges that Ray's dashboard shows as ``ray_vidfold_batch_...``."""
        for name, value in (("rows", tally.done), ("wanted", tally.total), ("errors", tally.errors)):
            self._gauges[name].set(value)

    def close(self) -> None:
        """End all workers, and Ray where this started it."""
        with suppress(Exception):  # Ray itself may have ended
            for seat in self._seats.values():
                self._ray.kill(seat.actor)
        if self._own:
            self._ray.shutdown()

    def _follow(self, worker: int, call: Any) -> None:
        """Note the end of a call, whenever that is."""
        call.future().add_done_callback(lambda future: self._ended.put((worker, future)))

    def _events(self, worker: int, call: "Future[Any]") -> list[Event]:
        """What the end of a call says."""
        seat = self._seats[worker]
        try:
            found = call.result()
        except self._ray.exceptions.RayError as error:
            self._ray.kill(seat.actor)
            return [Died(worker, f"a worker ended: {' '.join(str(error).split())}")]
        self._idle.add(worker)
        if isinstance(found, list):
            seat.held -= len(found)
            return [Answered(worker, number, rows) for number, rows in found]
        loads, told = found
        return [Ready(worker, told) if loads else Refused(worker, told)]


def _connect(ray: Any, address: str | None) -> None:
    """Connect to a cluster, or start one here."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    try:
        if port.isdigit():  # Ray itself would try for minutes
            socket.create_connection((host, int(port)), FAST).close()
        ray.init(address=address, log_to_driver=False, logging_level="error", runtime_env=None)
    except (OSError, ConnectionError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"no Ray cluster answers at {address or 'this machine'!r} ({type(error).__name__}: {error}): start it with "
            "'ray start --head', or take --engine local"
        ) from error
