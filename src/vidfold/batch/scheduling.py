"""The loop of a run: which worker gets which video, and what happens when one dies."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from vidfold.batch.events import Answered, Died, Engine, Event, Ready, Refused
from vidfold.batch.ledger import Ledger
from vidfold.batch.rows import failed
from vidfold.batch.tally import Tally
from vidfold.batch.tasks import Task

HOPELESS = 3
"""Workers that may die one after another before they are ready."""
WAIT = 1.0
"""Seconds to wait for an event."""


@dataclass
class _Suspect:
    """A video that a worker held when it died, and how many workers died with it alone."""

    task: Task
    deaths: int = 0


@dataclass
class _Held:
    """What a worker was given and has not answered: number -> video, and when it was last heard."""

    ready: bool = False
    heard: float = 0.0
    given: dict[int, _Suspect] = field(default_factory=dict)
    alone: bool = False


class Scheduler:
    """Gives videos to workers until all are answered.

    A worker that dies is started again. Any of the videos that it held may be the cause, so from then on each of them
    runs alone: a worker that dies with a single video was ended by it, or by chance. After ``retries`` more such
    deaths, the video gets rows with the reason.

    Attributes:
        engine: where workers run.
        ledger: where rows go.
        tally: how far the run is.
        watch: called with the tally at least once a second.
        clock: seconds.
    """

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        tally: Tally,
        watch: Callable[[Tally], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.engine, self.ledger, self.tally, self.watch, self.clock = engine, ledger, tally, watch, clock
        self._suspects: deque[_Suspect] = deque()
        self._held = [_Held() for _ in range(engine.resources.workers)]
        self._stillborn, self._number, self._out = 0, 0, 0

    def run(self, tasks: Iterable[Task]) -> None:
        """Answer all.

        Raises:
            ValueError: a model that does not load, or workers that die before they can work.
            OSError: the output cannot be written.
        """
        waiting, looked = deque(tasks), self.clock()
        for worker in range(min(len(self._held), len(waiting))):
            self.engine.start(worker)
        while waiting or self._suspects or self._out:
            events = self.engine.events(WAIT)
            for event in events:
                self._take(event)
            # With a thousand workers, a look at all of them for every event would be most of the work.
            died = any(isinstance(event, Died) for event in events)
            for worker in range(len(self._held)) if died else {event.worker for event in events}:
                self._feed(worker, self._held[worker], waiting)
            if self.clock() > looked + WAIT:
                looked = self.clock()
                self._end_silent()
                self.engine.show(self.tally)
            self.watch(self.tally)

    def _feed(self, worker: int, held: _Held, waiting: deque[Task]) -> None:
        """Give a worker what it has room for: a suspect alone, or many others."""
        if not held.ready or held.alone:
            return
        if self._suspects:
            if not held.given:  # else wait until it has none
                held.alone = True
                self._give(worker, held, self._suspects.popleft())
            return
        while waiting and len(held.given) < self.engine.resources.ahead:
            self._give(worker, held, _Suspect(waiting.popleft()))

    def _give(self, worker: int, held: _Held, suspect: _Suspect) -> None:
        if not held.given:
            held.heard = self.clock()
        self._number, self._out = self._number + 1, self._out + 1
        held.given[self._number] = suspect
        self.engine.give(worker, self._number, suspect.task)

    def _take(self, event: Event) -> None:
        held = self._held[event.worker]
        held.heard = self.clock()
        if isinstance(event, Ready):
            self.ledger.check_model(event.fingerprint)
            held.ready, self._stillborn = True, 0
            self.tally.note_ready()
        elif isinstance(event, Refused):
            raise ValueError(event.reason)
        elif isinstance(event, Answered):
            del held.given[event.number]
            self._out -= 1
            held.alone = False
            self.tally.add(self.ledger.add(event.rows))
        else:
            self._mourn(event, held)

    def _mourn(self, event: Died, held: _Held) -> None:
        """Start a dead worker again, and suspect what it held."""
        self.tally.ready -= held.ready
        self.tally.restarts += 1
        self._stillborn += not held.ready
        if self._stillborn >= HOPELESS:
            raise ValueError(f"workers die before their model is loaded: {event.reason}")
        suspects = list(held.given.values())
        self._out -= len(suspects)
        if len(suspects) == 1:
            (suspect,) = suspects
            suspect.deaths += 1
            if suspect.deaths > self.engine.resources.retries:
                reason = f"{suspect.task.path!r} ended {suspect.deaths} workers that had nothing else: {event.reason}"
                self.tally.add(self.ledger.add(failed(suspect.task, self.ledger.settings.hash, "", reason)))
                suspects = []
        self._suspects.extend(suspects)
        self._held[event.worker] = _Held()
        self.engine.start(event.worker)

    def _end_silent(self) -> None:
        """End workers that said nothing for too long: the time to decode a video, and as much for each question."""
        for worker, held in enumerate(self._held):
            questions = max((len(each.task.questions) for each in held.given.values()), default=0)
            if held.given and self.clock() > held.heard + (1 + questions) * self.engine.resources.timeout:
                held.heard = self.clock()
                self.engine.stop(worker)
