"""Workers as processes of this machine."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from threading import Lock
from typing import Any

import torch

from vidfold import extras
from vidfold.batch.events import Answered, Died, Event, Ready, Refused
from vidfold.batch.processes import ended_by, started
from vidfold.batch.settings import Resources, Settings
from vidfold.batch.tally import Tally
from vidfold.batch.tasks import Task
from vidfold.batch.worker import Worker


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device_of(worker: int, device: str | None) -> str | None:
    """The device of a worker: GPUs in turn, where none is said."""
    gpus = torch.cuda.device_count() if device in (None, "cuda") else 0
    return f"cuda:{worker % gpus}" if gpus else device


def _shared() -> list[str]:
    """Modules that take long to import, which workers share, in time and in memory.

    Where there is a GPU, these are fewer: what transformers imports may begin to use it, and then no worker could.
    """
    auto = [] if torch.accelerator.is_available() else ["modeling_auto", "processing_auto"]
    return ["vidfold.batch.worker", *(f"transformers.models.auto.{each}" for each in auto)]


def _work(connection: Connection, number: int, settings: Settings, resources: Resources) -> None:
    """A worker's process: answer what comes, until the connection ends."""
    _be_quiet()
    torch.set_num_threads(max(1, torch.get_num_threads() // resources.workers))
    try:
        worker = Worker(settings, resources, device_of(number, resources.device))
    except (ValueError, OSError, extras.MissingExtra) as error:
        connection.send(Refused(number, str(error)))
        return
    lock = Lock()

    def tell(task: int, future: Any) -> None:
        error = future.exception()
        with lock:
            if error is not None:
                connection.send(Died(number, f"a worker ended: {error}"))
                os._exit(1)
            connection.send(Answered(number, task, future.result()))

    with suppress(EOFError, OSError):
        connection.send(Ready(number, worker.fingerprint))
        while True:
            task, video = connection.recv()
            worker.submit(video).add_done_callback(partial(tell, task))
    os._exit(0)  # nobody waits for what is still being decoded


def _be_quiet() -> None:
    """No warnings of libraries from a process whose terminal shows progress."""
    import warnings

    warnings.simplefilter("ignore")
    logging = extras.load("transformers", "models").logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()


class Local:
    """The engine of one machine; see `vidfold.batch.events.Engine`.

    Attributes:
        work: what a worker's process does.
    """

    work: Callable[..., None] = staticmethod(_work)

    def __init__(self, settings: Settings, resources: Resources) -> None:
        self.settings, self.resources = settings, resources.placed(cores())
        self._workers: dict[int, tuple[Any, Connection]] = {}

    def start(self, worker: int) -> None:
        """Start a worker."""
        self._workers[worker] = started(self.work, worker, self.settings, self.resources, shared=_shared())

    def give(self, worker: int, number: int, task: Task) -> None:
        """Give a worker a video."""
        with suppress(OSError):  # it has died, which `events` tells
            self._workers[worker][1].send((number, task))

    def events(self, seconds: float) -> Sequence[Event]:
        """What has happened."""
        ready = set(wait([connection for _, connection in self._workers.values()], seconds))
        return [self._event(worker) for worker, (_, each) in self._workers.items() if each in ready]

    def stop(self, worker: int) -> None:
        """End a worker."""
        self._workers[worker][0].kill()

    def show(self, tally: Tally) -> None:
        """There is no place for it."""

    def close(self) -> None:
        """End all workers."""
        for process, connection in self._workers.values():
            process.kill()
            process.join()
            connection.close()
        self._workers = {}

    def _event(self, worker: int) -> Event:
        process, connection = self._workers[worker]
        try:
            event: Event = connection.recv()
        except (EOFError, OSError):  # all that it said before has been taken
            process.kill()
            process.join()
            connection.close()
            return Died(worker, f"a worker ended: {ended_by(process.exitcode)}")
        return event
