"""A video that a language model has read, folded: ask it any number of questions."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import torch
from torch import Tensor

from vidfold.models import Family
from vidfold.models.base import Inputs
from vidfold.reading.container import write
from vidfold.reading.conversation import Conversation, answering
from vidfold.reading.fingerprint import file_digest
from vidfold.reading.origin import origin
from vidfold.reading.prefix import Layers, Prefix
from vidfold.reading.prompts import continued
from vidfold.reading.wording import Wording
from vidfold.tokens import Reduction

_LARGE = ("pixel_values", "pixel_values_videos", "visuals")
"""Inputs that are not kept."""


@dataclass(frozen=True, eq=False, repr=False)
class FoldedVideo:
    """Folded videos of one prompt, and the language model's state behind them: all that comes before a question.

    `ask` and `generate` compute the question and the answer alone. Questions do not see each other; those of `chat` do.
    It needs the model, but no fold of it.

    Attributes:
        family: the model's.
        inputs: of the prompt, (1, L), without pixels.
        reductions: of its videos.
        prefix: what the model read.
        method: what folded them, in words.
        times: seconds of the frames, or None.
        duration: of the video in seconds, or None.
        wording: how questions are worded, if a processor was given.
        source: ``name`` and ``sha256`` of the file it came from, where that is known.
    """

    family: Family
    inputs: dict[str, Any]
    reductions: tuple[Reduction, ...]
    prefix: Prefix
    method: str
    times: tuple[float, ...] | None = None
    duration: float | None = None
    wording: Wording | None = None
    source: dict[str, str] | None = None

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        family: Family,
        inputs: Inputs,
        spliced: Inputs,
        reductions: Sequence[Reduction],
        *,
        before: "FoldedVideo | None" = None,
        **known: Any,
    ) -> "FoldedVideo":
        """Read a prompt with reduced videos in it.

        Args:
            family: of the model.
            inputs: the prompt as given, (1, L) without padding; see `prompts.single`.
            spliced: what `Family.splice` made of it.
            reductions: of its videos.
            before: a prompt of one video that the same model read, with the same text before it; tokens with which both
                begin are not read again.
            known: other attributes.
        """
        following = family.following(inputs) if "position_ids" in spliced else None
        dropped = inputs["input_ids"].shape[1] - spliced["input_ids"].shape[1]
        shared: Layers = ()
        if before is not None:
            before.prefix.check_unchanged()
            other = before.reductions[0]
            spliced, shared = continued(family, spliced, reductions[0], other, before.prefix.layers)
        prefix = Prefix.read(family.model, spliced, dropped=dropped, following=following, known=shared)
        rest = {name: value for name, value in inputs.items() if name not in _LARGE}
        return cls(family, rest, tuple(reductions), prefix, **known)

    @property
    def tokens(self) -> int:
        """Visual tokens that the language model read, newlines not counted."""
        return sum(len(each) - each.newlines for each in self.reductions)

    @property
    def before(self) -> int:
        """Visual tokens before folding."""
        return sum(each.full for each in self.reductions)

    def __repr__(self) -> str:
        return f"{self.before} -> {self.tokens} tokens by {self.method}, cache of {self.prefix.nbytes / 1e6:.3g} MB"

    @property
    def nbytes(self) -> int:
        """Memory of folded tokens, prompt and cache."""
        parts = [part for each in self.reductions for part in (each.tokens, each.frames, each.cells, each.side)]
        tensors = [each for each in (*parts, *self.inputs.values()) if isinstance(each, Tensor)]
        return self.prefix.nbytes + sum(each.nbytes for each in tensors)

    @property
    def pictures(self) -> bool:
        """Whether the prompt holds images beside its videos."""
        return bool(self.family.image_places(self.inputs).any())

    def generate(self, input_ids: Tensor, attention_mask: Tensor | None = None, **settings: Any) -> Any:
        """What the model's ``generate`` answers when these tokens (B, Q) come behind the video; see `Prefix.generate`.

        ``output[:, input_ids.shape[1]:]`` are the answers.
        """
        return self.prefix.generate(input_ids, attention_mask, **settings)

    @overload
    def ask(self, question: str, **settings: Any) -> str: ...
    @overload
    def ask(self, question: Sequence[str], **settings: Any) -> list[str]: ...
    def ask(self, question: str | Sequence[str], **settings: Any) -> str | list[str]:
        """Answer a question, or several in one batch, as if each were the only one.

        Args:
            question: in words; one, or a list.
            settings: of ``generate``; by default the answer is greedy and has at most `conversation.ANSWER` tokens.

        Returns:
            The answer, or a list of them.

        Raises:
            ValueError: an empty question, a video that was read without a processor, or what `generate` raises.
        """
        single = isinstance(question, str)
        questions = [question] if isinstance(question, str) else list(question)
        if not questions:
            raise ValueError("questions must be at least one, got an empty list")
        if settings.get("num_return_sequences", 1) != 1:
            raise ValueError("num_return_sequences must be 1: a question has one answer; use generate for more")
        wording = self.worded()
        ids, mask = wording.batch([self.asked(each) for each in questions])
        device = self.family.model.device
        output = self.generate(ids.to(device), mask.to(device), **answering(settings))
        sequences = output if isinstance(output, Tensor) else output.sequences
        answers = [wording.answered(row[ids.shape[1] :]) for row in sequences]
        return answers[0] if single else answers

    def chat(self) -> Conversation:
        """A conversation about the video, in which every question sees those before it and their answers."""
        return Conversation(self.prefix, self.worded(), first=self.asked)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        cache: bool = False,
        source: str | os.PathLike[str] | None = None,
        model_name: str | None = None,
    ) -> int:
        """Write the video to a file, to be opened by `vidfold.open_video` with the same model.

        The file is safetensors, with JSON in its header: folded tokens with their places and times, the prompt, the
        method, the model's name and a fingerprint of its weights, versions. An older file of that name is replaced
        once the new one is complete.

        Args:
            path: of the file.
            cache: whether to write keys and values, too. Without them the language model reads the folded tokens again
                when the file is opened.
            source: the video's own file, whose name and SHA-256 are noted; None keeps what is known.
            model_name: by which the model is loaded again; None is what its config says.

        Returns:
            Size of the file in bytes.

        Raises:
            ValueError: a prompt with images beside the video, a model that has changed since, or no such folder.
            OSError: such as a full disk; the older file is then as it was.
        """
        self.prefix.check_unchanged()
        if self.pictures:
            raise ValueError("the prompt holds images beside its video: only prompts of videos can be saved")
        tensors = {f"inputs.{name}": each for name, each in self.inputs.items() if isinstance(each, Tensor)}
        for number, each in enumerate(self.reductions):
            parts = {"tokens": each.tokens, "frames": each.frames, "cells": each.cells, "side": each.side}
            tensors |= {f"video.{number}.{name}": part for name, part in parts.items() if part is not None}
        if cache:
            for number, (keys, values) in enumerate(self.prefix.layers):
                tensors |= {f"cache.{number}.keys": keys, f"cache.{number}.values": values}
        said = {name: list(each) for name, each in self.inputs.items() if isinstance(each, list | tuple)}
        file = {"name": os.fspath(source), "sha256": file_digest(source)} if source is not None else self.source
        record = origin(self.family, "video", model_name) | {
            "videos": [[*each.grid, each.full] for each in self.reductions],
            "said": said,
            "method": self.method,
            "times": self.times,
            "duration": self.duration,
            "source": file,
        }
        return write(path, tensors, record)

    def asked(self, question: str) -> str:
        """A question as the model was trained to be asked it."""
        if self.times is None or self.duration is None:
            return question
        return self.family.asked(question, self.duration, self.times)

    def worded(self) -> Wording:
        """How questions are worded; a ValueError where no processor was given."""
        if self.wording is None:
            raise ValueError("this video was read without a processor: give one, or token ids to generate")
        return self.wording
