"""Accuracy of the tiny model with folded tokens: ``python -m vidfold.tiny.evaluate``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from vidfold import models, reducers
from vidfold.checks import check_count
from vidfold.reducers import Reducer
from vidfold.tiny.model import path
from vidfold.tiny.questions import KINDS, questions
from vidfold.tiny.scenes import FRAMES, RANGES, Clip, render, seeds
from vidfold.tiny.worlds import WORLDS
from vidfold.tokens import VideoTokens

if TYPE_CHECKING:
    from transformers import LlavaOnevisionForConditionalGeneration
    from transformers.models.llava_onevision import LlavaOnevisionProcessor

_REFERENCE_SHARE = 126 / 729 / 0.10  # anchors per patch at retention 1, scaled from the authors' setting


@dataclass(frozen=True)
class Setting:
    """One method of the registry at one retention."""

    method: str
    retention: float

    def __post_init__(self) -> None:
        if self.method not in reducers.METHODS:
            raise ValueError(f"unknown method {self.method!r}; there are: {', '.join(sorted(reducers.METHODS))}")
        if not 0 < self.retention <= 1:
            raise ValueError(f"retention must be in (0, 1]; got {self.retention}")

    def reducer(self, tokens: VideoTokens, seed: int) -> Reducer:
        """The method for one video.

        Random methods use the clip's ``seed``.  The authors' AOT has no retention: its number of anchors is scaled
        from their setting, and the number of tokens it keeps is measured.
        """
        names = {field.name for field in fields(reducers.METHODS[self.method])}
        settings: dict[str, object] = {}
        if "retention" in names:
            settings["retention"] = self.retention
        elif "anchors" in names:
            patches = tokens.features.shape[1]
            settings["anchors"] = min(patches, round(_REFERENCE_SHARE * self.retention * patches))
        if "seed" in names:
            settings["seed"] = seed
        return reducers.get(self.method, **settings)


FULL = Setting("identity", 1.0)
"""The unfolded video."""


@dataclass(frozen=True)
class Score:
    """Right answers with one setting, by clip and kind.

    ``right`` and ``asked`` are (clips, kinds) counts, kinds in the order of ``KINDS``; ``kept`` (clips,) is the share
    of tokens the language model read.  Not every clip has every kind.  A kind that no clip has gives NaN, and means
    ignore it.
    """

    right: NDArray[np.int64]
    asked: NDArray[np.int64]
    kept: NDArray[np.float64]

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """Share of right answers, (kinds,)."""
        share: NDArray[np.float64] = self.right.sum(0) / self._total
        return share

    @property
    def influence(self) -> NDArray[np.float64]:
        """Influence of each clip on each accuracy, (clips, kinds); questions about one clip are not independent."""
        moved: NDArray[np.float64] = (self.right - self.accuracy * self.asked) / self._total
        return moved

    @property
    def _total(self) -> NDArray[np.float64]:
        """Number of questions of each kind, NaN for none, (kinds,)."""
        total = self.asked.sum(0)
        return np.where(total > 0, total, np.nan)

    def standard_error(self) -> NDArray[np.float64]:
        """Standard error of ``accuracy`` over clips, (kinds,)."""
        return _error(self.influence)

    def mean(self) -> tuple[float, float]:
        """Mean accuracy over the kinds that were asked, all with the same weight, and its standard error."""
        return float(np.nanmean(self.accuracy)), float(_error(np.nanmean(self.influence, 1)))

    def gain(self, other: Score) -> tuple[float, float]:
        """Mean accuracy minus that of another setting on the same clips, and its paired standard error."""
        difference = np.nanmean(self.influence - other.influence, 1)
        return float(np.nanmean(self.accuracy - other.accuracy)), float(_error(difference))


def evaluate(
    model: LlavaOnevisionForConditionalGeneration,
    processor: LlavaOnevisionProcessor,
    settings: Sequence[Setting],
    clips: range,
    frames: int = FRAMES,
) -> dict[Setting, Score]:
    """Asks all questions about the clips with seeds ``clips`` and ``frames`` frames, with every setting.

    Each clip is encoded once; each setting folds it once and answers its questions in one batch.

    Raises:
        ValueError: a method needs a field that the model does not give, or works inside the language model; or
            ``frames`` is below 1.
    """
    needs = frozenset[str]().union(*(reducers.get(setting.method).needs for setting in settings))
    rows: dict[Setting, list[tuple[NDArray[np.int64], float]]] = {setting: [] for setting in settings}
    asked = []
    for seed in clips:
        clip = render(seed, frames)
        kinds = [KINDS.index(question.kind) for question in questions(clip)]
        asked.append(np.bincount(kinds, minlength=len(KINDS)))
        inputs, truth = prompts(processor, clip)
        inputs = {name: value.to(model.device) for name, value in inputs.items()}
        (tokens,) = models.encode(model, inputs, needs)
        for setting in settings:
            reducer = setting.reducer(tokens, seed)
            reduction = reducer(tokens.only(reducer.needs))
            spliced = models.splice(model, inputs, [reduction] * len(truth))
            output = model.generate(**spliced, max_new_tokens=1, do_sample=False)
            right = np.array(kinds)[(output[:, -1].cpu() == truth).numpy()]
            rows[setting].append((np.bincount(right, minlength=len(KINDS)), reduction.retention))
    return {
        setting: Score(np.stack([row[0] for row in given]), np.stack(asked), np.array([row[1] for row in given]))
        for setting, given in rows.items()
    }


def table(scores: dict[Setting, Score]) -> str:
    """A Markdown table: accuracy of every kind, their mean, and the paired difference to all tokens if measured."""
    head = ("method", "retention", "kept", *KINDS, "mean", "difference to full")
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for setting, score in scores.items():
        cells = [
            "full" if setting == FULL else setting.method,
            f"{setting.retention:.0%}",
            f"{score.kept.mean():.1%}",
            *(
                f"{right:.3f} ± {error:.3f}" if not np.isnan(right) else "-"
                for right, error in zip(score.accuracy, score.standard_error(), strict=True)
            ),
            "{:.3f} ± {:.3f}".format(*score.mean()),
            "{:+.3f} ± {:.3f}".format(*score.gain(scores[FULL])) if FULL in scores and setting != FULL else "",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def prompts(processor: LlavaOnevisionProcessor, clip: Clip) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Model inputs for all questions, with the clip's pixels once, and the token ids of the true answers."""
    asked = questions(clip)
    chats = [[{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": one.text}]}] for one in asked]
    prompts = [processor.apply_chat_template(chat, add_generation_prompt=True) for chat in chats]
    inputs: dict[str, Any] = dict(
        processor(text=prompts, videos=[clip.frames] * len(asked), padding=True, return_tensors="pt")
    )
    inputs["pixel_values_videos"] = inputs["pixel_values_videos"][:1]
    truth = processor.tokenizer.convert_tokens_to_ids([one.answer for one in asked])
    return inputs, torch.tensor(truth)


def _error(influence: NDArray[np.float64]) -> NDArray[np.float64]:
    error: NDArray[np.float64] = np.sqrt(np.square(influence).sum(0))
    return error


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m vidfold.tiny.evaluate", description=__doc__)
    parser.add_argument("--clips", type=int, default=300, help="number of clips (default: 300)")
    parser.add_argument("--retention", type=float, nargs="+", default=[1.0, 0.25, 0.10], help="shares of the tokens")
    parser.add_argument("--method", nargs="+", default=["aot", "random"], help=", ".join(sorted(reducers.METHODS)))
    parser.add_argument("--split", choices=sorted(set(RANGES) - {"train"}), default="search", help="(default: search)")
    parser.add_argument("--world", choices=WORLDS, default="first", help="(default: first)")
    parser.add_argument("--frames", type=int, default=FRAMES, help=f"frames of every clip (default: {FRAMES})")
    parser.add_argument("--model", default=str(path()), help="folder of the model (default: the shipped one)")
    chosen = parser.parse_args(arguments)
    try:
        settings = [FULL] if 1.0 in chosen.retention else []
        settings += [Setting(name, share) for share in chosen.retention if share != 1.0 for name in chosen.method]
        members = seeds(chosen.split, chosen.clips, world=chosen.world)
        check_count("frames", chosen.frames)
    except ValueError as error:
        parser.error(str(error))
    model, processor = models.load(chosen.model, dtype=torch.float32)
    try:
        scores = evaluate(model, processor, settings, members, chosen.frames)
    except ValueError as error:
        parser.error(str(error))
    sys.stdout.write(table(scores) + "\n")


if __name__ == "__main__":
    main()
