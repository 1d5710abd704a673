"""Where clips and their questions come from: synthetic clips with true answers, or any video files without."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidfold import models
from vidfold.app.asking import check_question, processed
from vidfold.app.loading import VideoModel
from vidfold.checks import check_count
from vidfold.models.base import Inputs
from vidfold.tiny import Clip, Question, questions, render, seeds
from vidfold.tiny.scenes import FRAMES
from vidfold.tiny.worlds import WORLDS
from vidfold.tokens import VideoTokens
from vidfold.video import Frames, sample

SCENE_RATE = 2.0
"""Frames per second of a rendered clip, as in ``vidfold scene``."""
EVERYDAY = "final"
"""The split for everyday use: no setting of any method was chosen on it."""
FIRST = {"search": 0, "confirm": 0, "final": 700_000}
"""Index of the first clip that is used of each split. Results of earlier versions on the clips of the final split below
it were looked at while methods were still changed."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One video with Q questions, for one model.

    Attributes:
        name: name of the clip.
        draw: seed for random methods, different for each clip.
        loaded: the model that the inputs are for.
        frames: the frames.
        questions: the questions; kind and answer are empty if the true answers are not known.
        clip: the rendered clip, or None for a video file.
    """

    name: str
    draw: int
    loaded: VideoModel
    frames: Frames
    questions: tuple[Question, ...]
    clip: Clip | None = None

    @cached_property
    def video(self) -> Inputs:
        """Model inputs of the first question, with the video."""
        return processed(self.loaded, self.frames, [self.questions[0].text])

    @cached_property
    def prompts(self) -> Inputs:
        """Model inputs of all questions without pixels, for `vidfold.models.splice`."""
        texts = [question.text for question in self.questions]
        prompts = self.video if len(texts) == 1 else processed(self.loaded, self.frames, texts)
        return {name: value for name, value in prompts.items() if not name.startswith("pixel_values")}

    @cached_property
    def truth(self) -> Tensor | None:
        """(Q,) int64, token ids of the true answers; None if one is not known or not a single token of the model."""
        tokenizer: Any = self.loaded.processor.tokenizer
        answers = [question.answer for question in self.questions]
        ids = [tokenizer.convert_tokens_to_ids(answer) if answer else None for answer in answers]
        return None if any(each in (None, tokenizer.unk_token_id) for each in ids) else torch.tensor(ids)

    def encode(self, needs: frozenset[str]) -> VideoTokens:
        """The tokens of the video, with those of the fields ``needs`` that the model can give."""
        family = models.family(self.loaded.model)
        (tokens,) = family.encode(self.video, needs & family.gives)
        return tokens


@dataclass(frozen=True)
class Scenes:
    """Synthetic clips that the embedded model was not trained on, with all questions and true answers.

    If a model's tokenizer does not write every answer as one token, accuracy is not measured.

    Attributes:
        count: number of clips.
        split: "search" to choose settings, "confirm" to check a choice, "final" to report.
        world: "first" or "second".
        frames: lengths of the clips, in turn.
    """

    count: int
    split: str = EVERYDAY
    world: str = WORLDS[0]
    frames: tuple[int, ...] = (FRAMES,)

    def __post_init__(self) -> None:
        check_count("clips", self.count)
        if not self.frames:
            raise ValueError("frames must be at least one length, got ()")
        for length in self.frames:
            check_count("frames", length)
        if self.split == "train":
            raise ValueError("split 'train': use clips that the model was not trained on, such as split 'final'")
        self._seeds()

    @property
    def name(self) -> str:
        """Such as "scenes 0-63 (search)" or "scenes 0-63 (search, second world, 8 and 32 frames)"."""
        facts = [self.split] + ([f"{self.world} world"] if self.world != WORLDS[0] else [])
        *others, last = map(str, self.frames)
        lengths = f"{', '.join(others)} and {last}" if others else last
        facts += [f"{lengths} frames"] if self.frames != (FRAMES,) else []
        first = FIRST[self.split]
        return f"scenes {first}-{first + self.count - 1} ({', '.join(facts)})"

    @property
    def clips(self) -> tuple[str, ...]:
        """The seeds."""
        return tuple(map(str, self._seeds()))

    def sample(self, place: int, loaded: VideoModel) -> Sample:
        """Render a clip."""
        seed = self._seeds()[place]
        clip = render(seed, self.frames[place % len(self.frames)])
        count = len(clip.frames)
        frames = Frames(clip.frames, np.arange(count) / SCENE_RATE, count / SCENE_RATE, SCENE_RATE, count, count)
        return Sample(str(seed), seed, loaded, frames, tuple(questions(clip)), clip)

    def _seeds(self) -> range:
        return seeds(self.split, self.count, FIRST.get(self.split, 0), self.world)


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
    world = ""

    def __post_init__(self) -> None:
        if not self.paths:
            raise ValueError("paths must name at least one video file, got none")
        if missing := [path for path in self.paths if not Path(path).is_file()]:
            raise ValueError(f"{missing[0]!r} is not a file")
        check_question(self.question)
        check_count("frames", self.frames)

    @cached_property
    def name(self) -> str:
        """Such as "videos (2 of 8 frames, 1f0c22d9)", with a digest of paths, sizes and question."""
        facts = [(path, Path(path).stat().st_size) for path in self.paths]
        digest = hashlib.sha256(repr((facts, self.question)).encode()).hexdigest()[:8]
        return f"videos ({len(self.paths)} of {self.frames} frames, {digest})"

    @property
    def clips(self) -> tuple[str, ...]:
        """The paths."""
        return self.paths

    def sample(self, place: int, loaded: VideoModel) -> Sample:
        """Decode a file."""
        path = self.paths[place]
        return Sample(path, place, loaded, sample(path, self.frames), (Question("", self.question, ""),))


Source = Scenes | Videos
"""A set of clips; the same name always means the same clips."""
