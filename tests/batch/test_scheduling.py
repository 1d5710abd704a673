"""The loop of a run with workers that die as they like: exactly one row for every question."""

import itertools
import random
from collections import Counter

import pytest

from vidfold.batch.events import Answered, Died, Ready, Refused
from vidfold.batch.ledger import Ledger
from vidfold.batch.output import rows_of
from vidfold.batch.rows import row
from vidfold.batch.scheduling import Scheduler
from vidfold.batch.settings import Resources, Settings
from vidfold.batch.tally import Tally
from vidfold.batch.tasks import Task

pytest.importorskip("pyarrow")
SETTINGS = Settings()


class Frail:
    """An engine whose workers die by chance, and always of some videos."""

    def __init__(self, seed: int, deadly: set[str], resources: Resources, chance: float = 0.1) -> None:
        self.random, self.deadly, self.chance = random.Random(seed), deadly, chance
        self.resources = resources
        self.held: dict[int, dict[int, Task] | None] = {}
        self.tries: Counter[str] = Counter()
        self.silent = set[str]()
        self.most = 0

    def start(self, worker):
        self.held[worker] = None

    def give(self, worker, number, task):
        held = self.held[worker]
        assert held is not None
        held[number] = task
        self.most = max(self.most, len(held))

    def events(self, seconds):
        found = []
        for worker, held in self.held.items():
            if held is None:
                self.held[worker] = {}
                found.append(Ready(worker, "weights"))
            elif held:
                number = self.random.choice(list(held))
                task = held[number]
                if task.id in self.silent:
                    continue
                if task.id in self.deadly or self.random.random() < self.chance:
                    self.tries[task.id] += 1
                    self.held[worker] = None
                    found.append(Died(worker, "boom"))
                else:
                    del held[number]
                    rows = [row(task, each, SETTINGS.hash, "weights", answer="yes") for each in task.questions]
                    found.append(Answered(worker, number, rows))
        return found

    def stop(self, worker):
        held = self.held[worker] or {}
        self.silent -= {task.id for task in held.values()}
        self.deadly |= {task.id for task in held.values()}

    def show(self, tally):
        pass

    def close(self):
        pass


@pytest.mark.parametrize("seed", range(5))
def test_exactly_one_row_whatever_dies(tmp_path, seed):
    tasks = [Task(str(number), str(number), ("a", "b")) for number in range(60)]
    engine = Frail(seed, {"7", "8", "40"}, Resources(workers=3, retries=3, decoders=2, batch_size=2), chance=0.02)
    with Ledger(tmp_path, SETTINGS) as ledger:
        tally = Tally(120, 0, 3, 6)
        Scheduler(engine, ledger, tally, lambda _: None).run(tasks)
    rows = list(rows_of(tmp_path))
    assert Counter((each["id"], each["question"]) for each in rows) == Counter(
        (task.id, question) for task in tasks for question in task.questions
    )
    assert {each["id"] for each in rows if each["error"]} == engine.deadly
    assert "'7' ended 4 workers that had nothing else: boom" in {each["error"] for each in rows}
    assert (tally.rows, tally.errors, tally.done) == (120, 6, 120)
    assert engine.most <= 4
    assert all(engine.tries[each] <= 8 for each in engine.deadly)  # alone, and beside others


def test_a_silent_worker_is_ended(tmp_path):
    times = itertools.count()
    engine = Frail(0, set(), Resources(timeout=20.0, retries=0), chance=0)
    engine.silent = {"1"}
    with Ledger(tmp_path, SETTINGS) as ledger:
        tasks = [Task(str(number), str(number), ("a",)) for number in range(3)]
        Scheduler(engine, ledger, Tally(3, 0, 1, 1), lambda _: None, lambda: next(times)).run(tasks)
    assert {each["id"]: each["error"] is None for each in rows_of(tmp_path)} == {"0": True, "1": False, "2": True}


def test_a_model_that_does_not_load(tmp_path):
    engine = Frail(0, set(), Resources())
    engine.events = lambda seconds: [Refused(0, "no such model")]
    with Ledger(tmp_path, SETTINGS) as ledger, pytest.raises(ValueError, match="no such model"):
        Scheduler(engine, ledger, Tally(1, 0, 1, 1), lambda _: None).run([Task("1", "1", ("a",))])


def test_workers_that_die_before_they_are_ready(tmp_path):
    engine = Frail(0, set(), Resources())
    engine.events = lambda seconds: [Died(0, "killed by SIGKILL")]
    with Ledger(tmp_path, SETTINGS) as ledger, pytest.raises(ValueError, match=r"die before .*: killed by SIGKILL"):
        Scheduler(engine, ledger, Tally(1, 0, 1, 1), lambda _: None).run([Task("1", "1", ("a",))])
