"""Decoded videos and their questions in, rows out: calls of a loaded model, in batches."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from vidfold import models
from vidfold.app.asking import called, inputs_of, timed
from vidfold.app.loading import VideoModel
from vidfold.app.reading import read
from vidfold.batch.decoding import reason_of
from vidfold.batch.rows import Row, row, seconds
from vidfold.batch.settings import Settings
from vidfold.batch.tasks import Task
from vidfold.reducers import InnerReducer
from vidfold.video import Frames

_T = TypeVar("_T")


class Broken(Exception):
    """The device cannot go on in this process, as after an illegal memory access."""


@dataclass(frozen=True, eq=False)
class Shown:
    """A decoded video with what is asked about it.

    Attributes:
        task: the video.
        frames: of it.
        decoding: seconds of decoding them.
    """

    task: Task
    frames: Frames
    decoding: float

    @property
    def known(self) -> dict[str, Any]:
        """Columns of all rows of the video."""
        start = self.task.start or 0.0
        times = [start + each for each in self.frames.timestamps.tolist()]
        return {"frames": len(self.frames), "times": times, "notes": "; ".join(self.frames.notes) or None}


@dataclass(frozen=True, eq=False)
class Answerer:
    """A model that answers by the settings of a run.

    Attributes:
        loaded: the model.
        settings: of the run.
        batch_size: videos, or questions about one video, in a call at most.
        fingerprint: of the model's weights.
    """

    loaded: VideoModel
    settings: Settings
    batch_size: int
    fingerprint: str

    def answer(self, shown: Sequence[Shown]) -> list[list[Row]]:
        """The rows of each video; a video that the model cannot serve gets rows with the reason.

        Raises:
            Broken: the process must end.
        """
        shared = not isinstance(self.settings.reducer, InnerReducer)
        single = [each for each in shown if not (shared and len(each.task.questions) > 1)]
        rows = {id(each): list[Row]() for each in shown}
        asked = [(each, question) for each in single for question in each.task.questions]
        # One call takes videos of equally many frames: nearly all have as many as were asked for.
        asked.sort(key=lambda pair: len(pair[0].frames))
        for _, alike in itertools.groupby(asked, key=lambda pair: len(pair[0].frames)):
            for some in _batches(list(alike), self.batch_size):
                for (each, _), one in zip(some, self._tried(some, self._together), strict=True):
                    rows[id(each)].append(one)
        for each in shown:
            if not rows[id(each)]:
                rows[id(each)] = self._tried([(each, question) for question in each.task.questions], self._of_one)
        return [rows[id(each)] for each in shown]

    def _tried(
        self, asked: Sequence[tuple[Shown, str]], call: Callable[[Sequence[tuple[Shown, str]]], list[Row]]
    ) -> list[Row]:
        """The rows of a call; where it fails, those of its questions one by one, to find which fail and why."""
        try:
            return call(asked)
        except Exception as error:  # a model is a program that comes with its checkpoint
            if _breaks(error):
                raise Broken(reason_of(error)) from error
            if isinstance(error, torch.OutOfMemoryError):
                torch.cuda.empty_cache()
            if len(asked) == 1:
                (each, question), *_ = asked
                known = each.known | {"seconds": seconds({"decode": each.decoding}), "error": reason_of(error)}
                return [row(each.task, question, self.settings.hash, self.fingerprint, **known)]
        return [one for pair in asked for one in self._tried([pair], self._together)]

    def _together(self, asked: Sequence[tuple[Shown, str]]) -> list[Row]:
        """Questions in one call, each with its video."""
        family, prompts = models.family(self.loaded.model), []
        for each, question in asked:
            text = family.asked(question, each.frames.duration, each.frames.timestamps.tolist())
            content = [{"type": "video"}, {"type": "text", "text": text}]
            prompts.append(self.loaded.written([{"role": "user", "content": content}]))
        videos = [each.frames for each, _ in asked]
        inputs, preprocess = timed(lambda: inputs_of(self.loaded, prompts, videos, padding_side="left"))
        settings = {"max_new_tokens": self.settings.max_new_tokens, "do_sample": False}
        call = called(self.loaded, self.settings.reducer, "generate", inputs | settings)
        sequences = call.result[:, inputs["input_ids"].shape[1] :]
        texts = self.loaded.processor.batch_decode(sequences, skip_special_tokens=True)
        spent = {"preprocess": preprocess} | call.milliseconds
        share = {stage: value / 1000 / len(asked) for stage, value in spent.items()}
        counts = zip(texts, call.before, call.after, strict=True)
        return [
            self._row(each, question, text, before, after, share)
            for (each, question), (text, before, after) in zip(asked, counts, strict=True)
        ]

    def _of_one(self, asked: Sequence[tuple[Shown, str]]) -> list[Row]:
        """Questions about one video, which is read once."""
        each, rows = asked[0][0], list[Row]()
        video, reading = timed(
            read, model=self.loaded.model, processor=self.loaded.processor, frames=each.frames,
            reducer=self.settings.reducer,
        )  # fmt: skip
        for some in _batches([question for _, question in asked], self.batch_size):
            texts, spent = timed(video.ask, question=some, max_new_tokens=self.settings.max_new_tokens)
            share = {"read": reading / 1000 / len(asked), "generate": spent / 1000 / len(some)}
            rows += [
                self._row(each, question, text, video.before, video.tokens, share)
                for question, text in zip(some, texts, strict=True)
            ]
        return rows

    def _row(self, each: Shown, question: str, text: str, before: int, after: int, share: dict[str, float]) -> Row:
        spent = seconds({"decode": each.decoding / len(each.task.questions)} | share)
        known = each.known | {"answer": text.strip(), "tokens_before": before, "tokens_after": after, "seconds": spent}
        return row(each.task, question, self.settings.hash, self.fingerprint, **known)


def _batches(every: Sequence[_T], size: int) -> Iterator[list[_T]]:
    for start in range(0, len(every), size):
        yield list(every[start : start + size])


def _breaks(error: Exception) -> bool:
    """Whether a GPU is unusable in this process after an error."""
    if isinstance(error, torch.OutOfMemoryError) or not isinstance(error, RuntimeError):
        return False
    return isinstance(error, torch.AcceleratorError) or str(error).startswith("CUDA error")
