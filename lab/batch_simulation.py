"""A million videos on a thousand workers: the real scheduler and ledger, with workers and time that are simulated.

    .venv/bin/python -m lab.batch_simulation overhead --videos 20000 [--engine ray]
    .venv/bin/python -m lab.batch_simulation start --videos 1000000
    .venv/bin/python -m lab.batch_simulation run --videos 1000000 --workers 1000 --overhead 0.0005

``overhead`` measures what a row costs the driver: workers that answer at once, so the driver is all there is to wait
for. ``start`` measures what a run does before its first video: it reads a table of videos, and a ledger of which half
is done. ``run`` simulates events one after another: a worker decodes with some processes and answers with one model;
times are log-normal; workers die by chance, and always of a few videos. The driver takes ``overhead`` seconds for each
row, and rows that come meanwhile wait.
"""

import argparse
import heapq
import math
import random
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from zlib import crc32

from vidfold.app.tables import table
from vidfold.batch.cluster import Cluster
from vidfold.batch.events import Answered, Died, Event, Ready
from vidfold.batch.ledger import Ledger
from vidfold.batch.local import Local
from vidfold.batch.manifest import read_manifest
from vidfold.batch.output import parts
from vidfold.batch.rows import Row, key_of, row, seconds
from vidfold.batch.scheduling import Scheduler
from vidfold.batch.settings import Resources, Settings
from vidfold.batch.tally import Tally
from vidfold.batch.tasks import Task, merged

SETTINGS = Settings()
QUESTION = "what is shown?"
Numbered = tuple[float, int, int, Event]
"""When, a number, the worker's life, and what happens."""


def answered(task: Task) -> list[Row]:
    """Rows of usual size."""
    known: dict[str, Any] = {"times": [float(each) for each in range(32)], "frames": 32}
    spent = seconds({"decode": 1.0, "encode": 1.0, "generate": 1.0})
    return [
        row(task, each, SETTINGS.hash, "weights", answer="A person rides a bicycle along the sea. " * 3)
        | known
        | {"seconds": spent, "tokens_before": 6272, "tokens_after": 627}
        for each in task.questions
    ]


def videos(count: int) -> list[Task]:
    return [Task(f"{number:08d}", f"s3://bucket/videos/{number:08d}.mp4", (QUESTION,)) for number in range(count)]


@dataclass(frozen=True)
class World:
    """What is simulated.

    Attributes:
        decode: median seconds of decoding a video.
        model: median seconds of the model.
        spread: standard deviation of the logarithm of both.
        lifetime: mean hours until a worker dies.
        restart: seconds to start a worker and load its model.
        deadly: share of videos that end every worker.
        overhead: seconds that a row costs the driver.
    """

    decode: float
    model: float
    spread: float
    lifetime: float
    restart: float
    deadly: float
    overhead: float


class Simulated:
    """An engine whose clock jumps from event to event; see `vidfold.batch.events.Engine`."""

    def __init__(self, world: World, resources: Resources) -> None:
        self.world, self.resources, self.now, self.busy = world, resources, 0.0, 0.0
        self.worked, self.deaths = 0.0, 0
        self._random = random.Random(0)
        self._queue: list[Numbered] = []
        self._order = 0
        self._life = [0] * resources.workers
        self._model = [0.0] * resources.workers  # when the model, and each decoder, is free
        self._decoders = [[0.0] * (resources.decoders or 1) for _ in range(resources.workers)]

    def start(self, worker: int) -> None:
        begin = self.now + self.world.restart
        self._model[worker], self._decoders[worker] = begin, [begin] * len(self._decoders[worker])
        self._at(begin, worker, Ready(worker, "weights"))
        self._at(begin + self._random.expovariate(1 / (3600 * self.world.lifetime)), worker, Died(worker, "chance"))

    def give(self, worker: int, number: int, task: Task) -> None:
        decoders = self._decoders[worker]
        decoded = max(self.now, heapq.heappop(decoders)) + self._drawn(self.world.decode)
        heapq.heappush(decoders, decoded)
        spent = self._drawn(self.world.model)
        end = self._model[worker] = max(decoded, self._model[worker]) + spent
        self.worked += spent
        deadly = crc32(task.id.encode()) % 1_000_000 < 1_000_000 * self.world.deadly
        self._at(end, worker, Died(worker, "deadly") if deadly else Answered(worker, number, answered(task)))

    def events(self, seconds: float) -> Sequence[Event]:
        """The next event, and those that came while the driver was at work."""
        found: list[Event] = []
        while self._queue and (not found or self._queue[0][0] <= self.now):
            when, _, life, event = heapq.heappop(self._queue)
            if life != self._life[event.worker]:
                continue
            if isinstance(event, Died):
                self._life[event.worker] += 1
                self.deaths += 1
            self.now = max(self.now, when)
            found.append(event)
        spent = self.world.overhead * len(found)
        self.now, self.busy = self.now + spent, self.busy + spent
        return found

    def stop(self, worker: int) -> None:
        self._at(self.now, worker, Died(worker, "silent"))

    def show(self, tally: Tally) -> None:
        pass

    def close(self) -> None:
        pass

    def _at(self, when: float, worker: int, event: Event) -> None:
        self._order += 1
        heapq.heappush(self._queue, (when, self._order, self._life[worker], event))

    def _drawn(self, median: float) -> float:
        return median * math.exp(self._random.gauss(0, self.world.spread))


def simulate(options: argparse.Namespace) -> None:
    """Run the scheduler in simulated time, and say what the driver and the workers did."""
    world = World(*(getattr(options, name) for name in World.__dataclass_fields__))
    resources = Resources(workers=options.workers, decoders=options.decoders, timeout=1e9)
    engine, tasks = Simulated(world, resources), videos(options.videos)
    mean = math.exp(world.spread**2 / 2)
    each = max(world.model, world.decode / options.decoders) * mean
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        with Ledger(folder, SETTINGS) as ledger:
            tally = Tally(len(tasks), 0, options.workers, options.workers * options.decoders)
            Scheduler(engine, ledger, tally, lambda _: None, lambda: engine.now).run(tasks)
        files, size = len(parts(Path(folder))), sum(path.stat().st_size for path in parts(Path(folder)))
    spent = time.perf_counter() - begin
    rows = [
        ("videos", f"{len(tasks):,} on {options.workers:,} workers, {tally.rows:,} rows, {tally.errors} with an error"),
        (
            "took",
            f"{engine.now / 3600:.2f} h; without failures {each * len(tasks) / options.workers / 3600:.2f} h",
        ),
        ("rate", f"{len(tasks) / engine.now:.0f} rows a second"),
        ("models busy", f"{100 * engine.worked / options.workers / engine.now:.1f} %"),
        ("driver busy", f"{100 * engine.busy / engine.now:.1f} %, at {1e6 * world.overhead:.0f} us a row"),
        ("deaths", f"{engine.deaths:,} of workers"),
        ("output", f"{files:,} parts, {size / 1e6:.0f} MB"),
        ("this program", f"{spent:.0f} s, {1e6 * spent / len(tasks):.0f} us a row; {peak():.0f} MB"),
    ]
    print(table(rows))


def _echo(connection: Connection, worker: int, settings: Settings, resources: Resources) -> None:
    """A worker's process that answers at once."""
    connection.send(Ready(worker, "weights"))
    while True:
        try:
            number, task = connection.recv()
        except EOFError:
            return
        connection.send(Answered(worker, number, answered(task)))


class Echo:
    """An actor that answers at once."""

    def __init__(self, settings: Settings, resources: Resources) -> None:
        pass

    def load(self) -> tuple[bool, str]:
        return True, "weights"

    def answer(self, given: Sequence[tuple[int, Task]]) -> list[tuple[int, list[Row]]]:
        return [(number, answered(task)) for number, task in given]


class EmptyLocal(Local):
    work: Callable[..., None] = staticmethod(_echo)


class EmptyCluster(Cluster):
    actor = Echo


def overhead(options: argparse.Namespace) -> None:
    """Rows a second that a driver takes, from workers that answer at once; counted from when all of them are ready."""
    resources = Resources(workers=options.workers, decoders=options.decoders)
    engine = EmptyLocal(SETTINGS, resources) if options.engine == "local" else EmptyCluster(SETTINGS, resources)
    tally = Tally(options.videos, 0, options.workers, options.workers)
    begin: list[tuple[int, float, float]] = []

    def watch(tally: Tally) -> None:
        if not begin and tally.ready == options.workers:
            begin.append((tally.rows, time.perf_counter(), time.process_time()))

    with tempfile.TemporaryDirectory(dir=options.scratch) as folder, Ledger(folder, SETTINGS) as ledger:
        try:
            Scheduler(engine, ledger, tally, watch).run(videos(options.videos))
            end = tally.rows, time.perf_counter(), time.process_time()
        finally:
            engine.close()
    rows, spent, cpu = (last - first for first, last in zip(begin[0], end, strict=True))
    print(f"{options.engine}: {rows:.0f} rows, {rows / spent:.0f} a second, {1e6 * cpu / rows:.0f} us of CPU a row")


def start(options: argparse.Namespace) -> None:
    """Time and memory of what comes before the first video."""
    with tempfile.TemporaryDirectory(dir=options.scratch) as name:
        folder = Path(name)
        path = folder / "list.csv"
        path.write_text("path\n" + "".join(f"s3://bucket/videos/{each:08d}.mp4\n" for each in range(options.videos)))
        with timed("read the table"):
            tasks = merged(read_manifest(str(path), [QUESTION]))
        with timed("write half of the rows"), Ledger(folder / "out", SETTINGS) as ledger:
            for at in range(0, len(tasks) // 2, 100):
                ledger.add([one for task in tasks[at : at + 100] for one in answered(task)])
        with timed("open the ledger"):
            ledger = Ledger(folder / "out", SETTINGS).__enter__()
        with timed("find what is left"):
            left = [task for task in tasks if key_of(task, QUESTION, SETTINGS.hash) not in ledger.done]
        ledger.__exit__(None, None, None)
    print(f"{len(left):,} of {len(tasks):,} left; {peak():.0f} MB at most")


class timed:
    """Prints how long a block took."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        self.begin = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        print(f"{self.what}: {time.perf_counter() - self.begin:.1f} s")


def peak() -> float:
    """MB of this process at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("overhead", "start", "run"))
    parser.add_argument("--videos", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--decoders", type=int, default=4)
    parser.add_argument("--engine", choices=("local", "ray"), default="local")
    parser.add_argument("--decode", type=float, default=2.0)
    parser.add_argument("--model", type=float, default=1.0)
    parser.add_argument("--spread", type=float, default=0.7)
    parser.add_argument("--lifetime", type=float, default=24.0)
    parser.add_argument("--restart", type=float, default=120.0)
    parser.add_argument("--deadly", type=float, default=1e-5)
    parser.add_argument("--overhead", type=float, default=0.0005)
    parser.add_argument("--scratch", help="folder for rows (default: the system's)")
    options = parser.parse_args()
    {"overhead": overhead, "start": start, "run": simulate}[options.what](options)


if __name__ == "__main__":
    main()
