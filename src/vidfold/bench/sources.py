"""Sources of clips: synthetic clips with true answers, or any video files without."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from vidfold.app.asking import processed
from vidfold.app.loading import VideoModel
from vidfold.bench.answers import check_held_out
from vidfold.checks import check_count
from vidfold.models.base import Inputs
from vidfold.tiny import questions, render, seeds
from vidfold.tiny.scenes import FRAMES
from vidfold.tiny.worlds import WORLDS
from vidfold.video import Frames, sample

SCENE_RATE = 2.0
"""Frames per second of a rendered clip, as in ``vidfold scene``."""
EVERYDAY = "search"
"""The split for everyday use; suites report on other splits."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One video with Q questions, ready for a model.

    Attributes:
        name: name of the clip.
        draw: seed for random methods, different for each clip.
        video: inputs with the video, to be encoded.
        prompts: inputs of all questions, for `vidfold.models.splice`.
        kinds: kind of every question; empty if the true answers are not known.
        truth: (Q,) int64, token ids of the true answers, or None.
    """

    name: str
    draw: int
    video: Inputs
    prompts: Inputs
    kinds: tuple[str, ...] = ()
    truth: Tensor | None = None


class Source(Protocol):
    """A set of clips; the same name always means the same clips."""

    @property
    def name(self) -> str:
        """Name that identifies the source."""

    def __len__(self) -> int: ...

    def samples(self, loaded: VideoModel) -> Iterator[Sample]:
        """Every clip as model inputs."""


@dataclass(frozen=True)
class Scenes:
    """Synthetic clips that the embedded model was not trained on, with all questions and true answers.

    If a model's tokenizer does not write every answer as one token, accuracy is not measured.

    Attributes:
        count: number of clips.
        first: index of the first clip in its split.
        split: "search" to choose settings, "confirm" to check a choice, "final" to report, once.
        world: "first" or "second".
        frames: frames of every clip.
    """

    count: int
    first: int = 0
    split: str = EVERYDAY
    world: str = WORLDS[0]
    frames: int = FRAMES

    def __post_init__(self) -> None:
        check_count("clips", self.count)
        check_count("first", self.first, least=0)
        check_count("frames", self.frames)
        check_held_out(self._seeds())

    @property
    def name(self) -> str:
        """Such as "scenes 0-63", or "scenes 0-63 (confirm, second world, 32 frames)"; defaults are omitted."""
        facts = [self.split] if self.split != EVERYDAY else []
        facts += [f"{self.world} world"] if self.world != WORLDS[0] else []
        facts += [f"{self.frames} frames"] if self.frames != FRAMES else []
        return f"scenes {self.first}-{self.first + self.count - 1}" + (f" ({', '.join(facts)})" if facts else "")

    def __len__(self) -> int:
        return self.count

    def samples(self, loaded: VideoModel) -> Iterator[Sample]:
        """Render the clips one by one."""
        for seed in self._seeds():
            clip = render(seed, self.frames)
            asked = questions(clip)
            times = np.arange(self.frames) / SCENE_RATE
            shown = Frames(clip.frames, times, self.frames / SCENE_RATE, SCENE_RATE, self.frames, self.frames)
            video, prompts = _inputs(loaded, shown, [question.text for question in asked])
            truth = _single_tokens(loaded.processor.tokenizer, [question.answer for question in asked])
            kinds = () if truth is None else tuple(question.kind for question in asked)
            yield Sample(str(seed), seed, video, prompts, kinds, truth)

    def _seeds(self) -> range:
        return seeds(self.split, self.count, self.first, self.world)


@dataclass(frozen=True)
class Videos:
    """Video files with the same question for each; the true answers are not known.

    Attributes:
        paths: paths of the files.
        question: the question about each file.
        frames: number of frames, sampled evenly from each file.
    """

    paths: tuple[str, ...]
    question: str = "What happens in this video?"
    frames: int = 32

    def __post_init__(self) -> None:
        if not self.paths:
            raise ValueError("paths must name at least one video file, got none")
        if missing := [path for path in self.paths if not Path(path).is_file()]:
            raise ValueError(f"{missing[0]!r} is not a file")
        if not self.question.strip():
            raise ValueError(f"question must not be empty, got {self.question!r}")
        check_count("frames", self.frames)

    @property
    def name(self) -> str:
        """Such as "videos (2 of 8 frames, 1f0c22d9)", with a digest of paths, sizes and question."""
        facts = [(path, Path(path).stat().st_size) for path in self.paths]
        digest = hashlib.sha256(repr((facts, self.question)).encode()).hexdigest()[:8]
        return f"videos ({len(self.paths)} of {self.frames} frames, {digest})"

    def __len__(self) -> int:
        return len(self.paths)

    def samples(self, loaded: VideoModel) -> Iterator[Sample]:
        """Decode the files one by one."""
        for place, path in enumerate(self.paths):
            video, prompts = _inputs(loaded, sample(path, self.frames), [self.question])
            yield Sample(path, place, video, prompts)


def _inputs(loaded: VideoModel, frames: Frames, texts: Sequence[str]) -> tuple[Inputs, Inputs]:
    """Inputs of the first question, with the video, and of all questions, without its pixels."""
    video = processed(loaded, frames, texts[:1])
    prompts = video if len(texts) == 1 else processed(loaded, frames, texts)
    return video, {name: value for name, value in prompts.items() if not name.startswith("pixel_values")}


def _single_tokens(tokenizer: Any, answers: Sequence[str]) -> Tensor | None:
    """Token ids (Q,) of the answers; None if an answer is not a single token of the vocabulary."""
    ids = [tokenizer.convert_tokens_to_ids(answer) for answer in answers]
    return None if any(each in (None, tokenizer.unk_token_id) for each in ids) else torch.tensor(ids)
