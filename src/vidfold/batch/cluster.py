"""Workers as actors of a Ray cluster."""

import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from vidfold import extras
from vidfold.batch.events import Answered, Died, Event, Ready, Refused
from vidfold.batch.rows import Row
from vidfold.batch.settings import Resources, Settings
from vidfold.batch.tally import Tally
from vidfold.batch.tasks import Task
from vidfold.batch.worker import Worker

FAST = 5.0
"""Seconds that a cluster has to accept a connection, and workers to end by themselves."""


class Actor:
    """A worker in an actor's process."""

    def __init__(self, settings: Settings, resources: Resources) -> None:
        self._settings, self._resources = settings, resources

    def load(self) -> tuple[bool, str]:
        """Whether the model loads, and its fingerprint or why it does not."""
        try:
            self._worker = Worker(self._settings, self._resources)
        except (ValueError, OSError, extras.MissingExtra) as error:
            return False, str(error)
        return True, self._worker.fingerprint

    def close(self) -> None:
        """Delete what was loaded."""
        self._worker.close()

    def answer(self, task: Task) -> list[Row]:
        """The rows of a video; several calls run at once, each in a thread."""
        return self._worker.submit(task).result()


class Cluster:
    """The engine of a Ray cluster, or of Ray on this machine; see `vidfold.batch.events.Engine`.

    Ray places the actors: workers without room wait until the cluster grows.

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
        # One more than the videos it holds, for `load` and `close`.
        self._actor = self._ray.remote(self.actor).options(**options, max_concurrency=self.resources.ahead + 1)
        gauge = extras.load("ray.util.metrics", "ray").Gauge
        self._gauges = {name: gauge(f"vidfold_batch_{name}") for name in ("rows", "wanted", "errors")}
        self._workers: dict[int, Any] = {}
        self._calls: dict[Any, tuple[int, int | None]] = {}  # reference -> worker, and number of the video

    def start(self, worker: int) -> None:
        """Start a worker."""
        actor = self._workers[worker] = self._actor.remote(self.settings, self.resources)
        self._calls[actor.load.remote()] = worker, None

    def give(self, worker: int, number: int, task: Task) -> None:
        """Give a worker a video."""
        self._calls[self._workers[worker].answer.remote(task)] = worker, number

    def events(self, seconds: float) -> Sequence[Event]:
        """What has happened."""
        calls = list(self._calls)
        if not self._ray.wait(calls, num_returns=1, timeout=seconds)[0]:
            return []
        ready, _ = self._ray.wait(calls, num_returns=len(calls), timeout=0)
        return [event for each in ready if each in self._calls for event in self._events(each)]

    def stop(self, worker: int) -> None:
        """End a worker."""
        self._ray.kill(self._workers[worker])

    def show(self, tally: Tally) -> None:
        """Set the gauges that Ray's dashboard shows as ``ray_vidfold_batch_...``."""
        for name, value in (("rows", tally.done), ("wanted", tally.total), ("errors", tally.errors)):
            self._gauges[name].set(value)

    def close(self) -> None:
        """End all workers, and Ray where this started it."""
        with suppress(Exception):  # Ray itself may have ended
            actors = list(self._workers.values())
            self._ray.wait([each.close.remote() for each in actors], num_returns=len(actors), timeout=FAST)
            for actor in actors:
                self._ray.kill(actor)
        if self._own:
            self._ray.shutdown()

    def _events(self, call: Any) -> list[Event]:
        worker, number = self._calls.pop(call)
        try:
            found = self._ray.get(call)
        except self._ray.exceptions.RayError as error:
            # All other calls of the worker fail, too.
            self._calls = {each: known for each, known in self._calls.items() if known[0] != worker}
            self._ray.kill(self._workers[worker])
            return [Died(worker, f"a worker ended: {' '.join(str(error).split())}")]
        if number is not None:
            return [Answered(worker, number, found)]
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
