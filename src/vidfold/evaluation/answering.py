"""Answer the requests of a benchmark: in batches, with a record of every sample, also of unreadable videos."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from itertools import groupby, islice
from typing import Any

from vidfold import models
from vidfold.app.asking import timed
from vidfold.app.loading import VideoModel
from vidfold.bench.provenance import provenance
from vidfold.evaluation.calling import Caller, Result
from vidfold.evaluation.frames import load
from vidfold.evaluation.records import SUMMARY, Record, Records, means, write_object
from vidfold.evaluation.settings import Settings, digest
from vidfold.models.llava_video import LlavaVideo
from vidfold.planning import paid_for
from vidfold.planning.costs import cells_of
from vidfold.video import Frames

PACKAGES = ("lmms-eval", "av", "accelerate")
"""Whose versions are told beside those of `provenance`, if the run has imported them."""


@dataclass(frozen=True, eq=False)
class Request:
    """One question of a benchmark.

    Attributes:
        task: name of the task.
        split: of its data.
        doc: place of the sample in the split.
        text: the question as the task words it.
        video: returns the path of the sample's video; called only if the answer is not recorded.
        answer: a given answer, to be scored by its likelihood; None asks for a generated one.
        generation: settings of ``generate``, as tasks give them.
        recorded: whether the sample counts; those that only fill the batches of several processes do not.
    """

    task: str
    split: str
    doc: int
    text: str
    video: Callable[[], str]
    answer: str | None = None
    generation: Mapping[str, Any] = field(default_factory=dict)
    recorded: bool = True

    def key(self, repeat: int) -> str:
        """An identifier within one configuration; ``repeat`` is how often an equal request came before."""
        generation = {name: value for name, value in self.generation.items() if value is not None}
        return digest([self.task, self.split, self.doc, self.text, self.answer, generation, repeat])

    def record(self, key: str) -> Record:
        """The beginning of its record."""
        kind = "generate_until" if self.answer is None else "loglikelihood"
        return {"key": key, "task": self.task, "split": self.split, "doc": self.doc, "kind": kind, "error": None}

    def path(self) -> str:
        """The path of the video.

        Raises:
            ValueError: the task finds none.
        """
        try:
            return self.video()
        except SystemExit as error:  # some tasks exit when a file is missing
            raise ValueError(str(error)) from error


_Shown = tuple[str, Request, Frames, float]
"""A key, its request, the frames of the video and the milliseconds of decoding them."""


class Evaluator:
    """A loaded model with the settings of a run and its records.

    Attributes:
        loaded: the model.
        settings: of the run.
        records: of its samples.
        watch: called with (done, total) as requests are answered.
    """

    def __init__(
        self,
        loaded: VideoModel,
        settings: Settings,
        records: Records,
        *,
        watch: Callable[[int, int], None] = lambda *_: None,
        complain: Callable[[str], None] = lambda *_: None,
    ) -> None:
        self.loaded, self.settings, self.records = loaded, settings, records
        self.watch, self._complain = watch, complain
        self._caller = Caller.of(loaded, settings)
        tokens: Any = getattr(settings.reducer, "tokens", None)
        self._most = settings.frames or paid_for(tokens, cells_of(loaded))
        forced = settings.force_sample
        llava_video = isinstance(models.family(loaded.model), LlavaVideo)
        self._every_second = llava_video if forced is None else not forced
        self._last: tuple[str, Frames] | None = None

    def answer(self, requests: Sequence[Request]) -> list[Result]:
        """Answer requests, in their order; requests with a recorded answer are not asked again.

        Raises:
            ValueError: with ``on_error="raise"``, a video that cannot be read.
        """
        keys = _keys(requests)
        done = {key: record for key in keys if (record := self.records.get(key)) is not None}

        def shown() -> Iterator[_Shown]:
            for key, request in zip(keys, requests, strict=True):
                if key in done:
                    continue
                try:
                    frames, milliseconds = timed(self._frames, request=request)
                except ValueError as error:
                    done[key] = self._skipped(key, request, error)
                    self.watch(len(done), len(requests))
                else:
                    yield key, request, frames, milliseconds

        for _, alike in groupby(shown(), _kind):
            while batch := list(islice(alike, self.settings.batch_size)):
                said = self._ask([request for _, request, _, _ in batch], [frames for _, _, frames, _ in batch])
                for (key, request, frames, milliseconds), one in zip(batch, said, strict=True):
                    seconds = {"decode": milliseconds / 1000} | one["seconds"]
                    done[key] = request.record(key) | one | {"frames": len(frames), "seconds": seconds}
                self.records.put([done[key] for key, request, _, _ in batch if request.recorded])
                self.watch(len(done), len(requests))
        return [_result(done[key], request) for key, request in zip(keys, requests, strict=True)]

    def summary(self) -> dict[str, Any]:
        """The contents of `vidfold.evaluation.records.SUMMARY`; its means are those of `records.means`."""
        settings, model = self.settings, self.loaded.model
        return {
            "method": settings.method,
            "retention": settings.retention,
            **means(list(self.records)),
            "pretrained": settings.pretrained,
            "frames": settings.frames,
            "sampling": {"frames": self._most, "force_sample": not self._every_second},
            "settings": {
                "batch_size": settings.batch_size,
                "dtype": str(model.dtype).removeprefix("torch."),
                "attention": getattr(model.config, "_attn_implementation", None),
                "quantization": settings.quantization,
                "template": "own" if self._caller.template is None else "qwen_1_5",
                "on_error": settings.on_error,
            },
            "versions": provenance(model) | {name: metadata.version(name) for name in PACKAGES if _imported(name)},
            "config_hash": settings.hash,
        }

    def write_summary(self) -> None:
        """Write the summary beside the records, if they are kept in a folder."""
        if self.records.folder is not None:
            self.records.reload()
            write_object(self.records.folder / SUMMARY, self.summary())

    def _skipped(self, key: str, request: Request, error: ValueError) -> Record:
        """The record of a video that cannot be read; with ``on_error="raise"`` a ValueError instead."""
        told, record = f"{request.task} sample {request.doc}: {error}", request.record(key) | {"error": str(error)}
        if self.settings.on_error == "raise":
            raise ValueError(f"{told}; on_error=skip continues without it") from error
        if request.recorded:
            self._complain(told)
            self.records.put([record])
        return record

    def _frames(self, request: Request) -> Frames:
        # Questions about the same video usually follow each other.
        path = request.path()
        if self._last is None or self._last[0] != path:
            self._last = path, load(path, self._most, every_second=self._every_second)
        return self._last[1]

    def _ask(self, requests: Sequence[Request], videos: Sequence[Frames]) -> list[Record]:
        texts = [request.text for request in requests]
        answers = [request.answer for request in requests if request.answer is not None]
        if answers:
            return self._caller.score(videos, texts, answers)
        return self._caller.generate(videos, texts, requests[0].generation)


def _kind(shown: _Shown) -> str:
    """Requests of equal kind may share a call."""
    _, request, frames, _ = shown
    return digest([request.answer is None, dict(request.generation), len(frames)])


def _keys(requests: Sequence[Request]) -> list[str]:
    """The keys of requests; equal ones are numbered."""
    seen: Counter[str] = Counter()
    keys = []
    for request in requests:
        first = request.key(0)
        keys.append(request.key(seen[first]))
        seen[first] += 1
    return keys


def _result(record: Record, request: Request) -> Result:
    """The recorded answer; "" or an infinite loss for a sample that was skipped."""
    if record["error"] is not None:
        return "" if request.answer is None else (float("inf"), False)
    answer = record["answer"]
    return answer if isinstance(answer, str) else (float(answer[0]), bool(answer[1]))


def _imported(package: str) -> bool:
    return package.replace("-", "_") in sys.modules
