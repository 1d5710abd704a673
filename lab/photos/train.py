"""Train the reader of photographs: ``python -m lab.photos.train --help``; an interrupted run continues."""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lab.learner import select
from lab.photos.clips import Clip, cells_of, compose, frames_of
from lab.photos.groups import GROUPS
from lab.photos.pool import Pool
from lab.photos.questions import KINDS, Question, questions
from lab.photos.reader import ASK, NAMED_SLOTS, NAMES, PLAN, VOCABULARY, Reader, packed, slots
from lab.recipe import learning_rate

CELLS = 49
LEARNT = "search.json"
"""Accuracy of every kind on clips of the search split, by share of the tokens, chosen at random."""
_SEARCHED = 200


@dataclass(frozen=True)
class Recipe:
    """``whole`` is the share of steps that read all tokens; the others read a random selection of 5 to 100 %."""

    steps: int
    first: int
    muon: float
    adam: float
    whole: float
    lengths: tuple[int, ...] = (8, 8, 8, 12, 16)
    batch: int = 16


VARIED = Recipe(steps=1200, first=0, muon=0.015, adam=2e-3, whole=0.2)
WHOLE = Recipe(steps=200, first=1_000_000, muon=0.008, adam=1e-3, whole=1.0)
"""Turns a finished reader into its twin, on whole videos only."""


@dataclass(frozen=True)
class Batch:
    """B clips of F frames, ready to read, with n pictures in their questions.

    ``features`` (B, F * 49, D) fp16; ``shows`` (B, F * 49) int64, the source that each cell shows; ``small``
    (B, F * 49) bool, whether in a small picture; ``ids`` (B, LENGTH); ``pictures`` (B, n, D); ``valid`` (B, slots)
    bool, whether the slot has a question.
    """

    features: Tensor
    shows: Tensor
    small: Tensor
    ids: Tensor
    pictures: Tensor
    valid: Tensor

    @property
    def answers(self) -> Tensor:
        """(B, slots) int64, the true answer of every slot."""
        return self.ids[:, ASK + 1]


def batch_of(pool: Pool, members: Sequence[Clip]) -> Batch:
    """Clips of one length."""
    made: list[tuple[Tensor, ...]] = []
    for clip in members:
        features = torch.from_numpy(frames_of(clip, pool.cells)).flatten(0, 1)
        plan = slots(shuffled(pool, clip))
        ids, asked = packed(plan)
        valid = torch.tensor([question is not None for question in plan])
        made.append((features, *_shown(pool, clip), torch.tensor(ids), pool.pictures(asked), valid))
    return Batch(*(torch.stack(each) for each in zip(*made, strict=True)))


class Learner:
    """The reader, what aligns its tokens while it learns, and optimizers; ``groups`` (sources,) of sources."""

    def __init__(self, recipe: Recipe, groups: Tensor) -> None:
        self.recipe, self.groups, self.reader = recipe, groups, Reader()
        self.aligned = nn.ParameterDict(
            {
                "bias": torch.full((len(GROUPS) + 1,), -3.0),
                "small": torch.zeros(self.reader.words.shape[1]),
            }
        )
        matrices = [each for name, each in self.reader.named_parameters() if each.ndim == 2 and "embed" not in name]
        chosen = {id(each) for each in matrices}
        others = [each for each in self.reader.parameters() if id(each) not in chosen]
        self.optimizers = [
            torch.optim.Muon(matrices, lr=recipe.muon, momentum=0.95, weight_decay=0.01),
            torch.optim.AdamW(
                [*others, *self.aligned.parameters()], lr=recipe.adam, betas=(0.9, 0.98), weight_decay=0.0
            ),
        ]

    def step(self, number: int, batch: Batch) -> dict[str, Tensor]:
        """One update; losses and accuracies by name."""
        recipe, progress = self.recipe, number / self.recipe.steps
        for optimizer, peak in zip(self.optimizers, (recipe.muon, recipe.adam), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * learning_rate(progress, number)
        clips, count = batch.features.shape[:2]
        rng = torch.Generator().manual_seed(recipe.first + number)
        chosen = select(clips, count // CELLS, CELLS, rng, recipe.whole)
        tokens = self.reader.project(batch.features.take_along_dim(chosen[..., None], 1))
        pictures = self.reader.project(batch.pictures)
        with torch.autocast("cpu", torch.bfloat16):
            final, early, seen = self.reader.read(tokens, batch.ids, pictures)
            losses, right = self._answers(final, early, batch)
            shows, small = (each.take_along_dim(chosen, 1) for each in (batch.shows, batch.small))
            losses["align"] = 0.3 * self._alignment(seen, shows, small)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.reader.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return {name: value.detach() for name, value in (losses | right).items()}

    def _answers(self, final: Tensor, early: Tensor, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Losses of the answer and of binding (see `lab.learner`), and accuracy of every kind."""
        reader, truth, valid = self.reader, batch.answers, batch.valid
        logits = functional.linear(final[:, ASK], reader.words).float()
        bound = functional.linear(reader.language.norm(early[:, NAMES]), reader.words).float()
        losses = {
            "answer": _mean_loss(logits, truth, valid),
            "bind": 0.5 * _mean_loss(bound, truth[:, NAMED_SLOTS], valid[:, NAMED_SLOTS]),
        }
        return losses, by_kind(logits.argmax(-1) == truth, valid)

    def _alignment(self, states: Tensor, shows: Tensor, small: Tensor) -> Tensor:
        """Pulls states of tokens towards the word of the group that they show, as `lab.losses.WordAlignment` does."""
        words = torch.cat([self.reader.words[[VOCABULARY[group] for group in GROUPS]], self.aligned["small"][None]])
        logits = functional.linear(self.reader.language.norm(states), words) + self.aligned["bias"]
        target = torch.cat([functional.one_hot(self.groups[shows], len(GROUPS)), small[..., None]], -1).float()
        weight = 1 + 3 * target  # most groups are absent
        losses = functional.binary_cross_entropy_with_logits(logits.float(), target, weight, reduction="none")
        return losses.sum(-1).mean()

    def state(self) -> dict[str, Any]:
        """Everything that a run continues from."""
        return {
            "reader": self.reader.state_dict(),
            "aligned": self.aligned.state_dict(),
            "optimizers": [each.state_dict() for each in self.optimizers],
        }

    def load(self, state: dict[str, Any], *, optimizers: bool) -> None:
        """Loads what `state` returned, with or without the optimizers."""
        self.reader.load_state_dict(state["reader"])
        self.aligned.load_state_dict(state["aligned"])
        for optimizer, own in zip(self.optimizers, state["optimizers"] if optimizers else [], strict=False):
            optimizer.load_state_dict(own)


def by_kind(right: Tensor, valid: Tensor) -> dict[str, Tensor]:
    """Accuracy of every kind that was asked, from ``right`` (B, slots) answers to ``valid`` questions."""
    shares = {}
    for kind in KINDS:
        own = [slot for slot, other in enumerate(PLAN) if other == kind]
        there = valid[:, own].float()
        if there.any():
            shares[kind] = (right[:, own].float() * there).sum() / there.sum()
    return shares


@torch.inference_mode()
def accuracy(reader: Reader, pool: Pool, clips: int, share: float = 1.0, frames: int = 8) -> dict[str, float]:
    """Accuracy of every kind on the first clips of a split, from a random share of the tokens."""
    right, valid = [], []
    for start in range(0, clips, 20):
        members = [compose(pool.shots, pool.split, number, frames) for number in range(start, min(start + 20, clips))]
        batch = batch_of(pool, members)
        kept = max(1, round(share * batch.features.shape[1]))
        rng = torch.Generator().manual_seed(start)
        chosen = torch.rand(batch.features.shape[:2], generator=rng).topk(kept).indices.sort().values
        features = batch.features.take_along_dim(chosen[..., None], 1)
        right.append(reader.answer(features, batch.ids, batch.pictures) == batch.answers)
        valid.append(batch.valid)
    return {kind: float(value) for kind, value in by_kind(torch.cat(right), torch.cat(valid)).items()}


def train(pool: Pool, search: Pool, out: Path, recipe: Recipe, init: Path | None = None) -> None:
    """Trains; writes ``checkpoint.pt`` as it goes, and at the end ``reader.pt`` and ``search.json``."""
    out.mkdir(parents=True, exist_ok=True)
    groups = torch.tensor([GROUPS.index(source.group) for source in pool.sources])
    learner, checkpoint, start = Learner(recipe, groups), out / "checkpoint.pt", 0
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        learner.load(saved, optimizers=True)
        start = saved["step"]
    elif init is not None:
        learner.load(torch.load(init), optimizers=False)
    else:
        sample = torch.from_numpy(pool.cells[::2]).float().flatten(0, 2)
        learner.reader.fit(sample)
    means: dict[str, Tensor] = {}
    began = time.monotonic()
    for step in range(start, recipe.steps):
        frames = int(np.random.default_rng((recipe.first, step)).choice(recipe.lengths))
        numbers = range(recipe.first + step * recipe.batch, recipe.first + (step + 1) * recipe.batch)
        members = [compose(pool.shots, pool.split, number, frames, mixed=number % 4 > 0) for number in numbers]
        for name, value in learner.step(step, batch_of(pool, members)).items():
            means[name] = means.get(name, value).lerp(value, 0.04)
        done = step + 1
        if done % 25 == 0:
            rate = (done - start) / (time.monotonic() - began)
            _tell(f"{done}/{recipe.steps}, {rate:.2f} steps/s", {name: float(mean) for name, mean in means.items()})
        if done % 25 == 0 or done == recipe.steps:
            torch.save(learner.state() | {"step": done}, out / "checkpoint.partial")
            (out / "checkpoint.partial").replace(checkpoint)
        if done % 150 == 0:
            _tell(f"{done}: search", accuracy(learner.reader, search, 60))
    torch.save(learner.reader.state_dict(), out / "reader.pt")
    learnt = {f"{share:g}": accuracy(learner.reader, search, _SEARCHED, share) for share in (1.0, 0.05)}
    (out / LEARNT).write_text(json.dumps(learnt, indent=1))
    for share, values in learnt.items():
        _tell(f"search, {share} of the tokens", values)


def shuffled(pool: Pool, clip: Clip) -> list[Question]:
    """Questions about a clip in random order, of which the first ones fill the slots."""
    found = questions(clip, pool.sources)
    return [found[place] for place in np.random.default_rng((*clip.seed, 2)).permutation(len(found))]


def _shown(pool: Pool, clip: Clip) -> tuple[Tensor, Tensor]:
    """The source that every cell shows, (F * 49,) int64, and whether in a small picture, (F * 49,) bool."""
    cells = [torch.from_numpy(cells_of(part.scene)).flatten().repeat(part.views) for part in clip.parts]
    sources = [torch.tensor([pool.numbers[each] for each in part.scene.pictures]) for part in clip.parts]
    shows = [numbers[places] for numbers, places in zip(sources, cells, strict=True)]
    return torch.cat(shows), torch.cat(cells) > 0


def _mean_loss(logits: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    loss = functional.cross_entropy(logits.mT, truth, reduction="none")
    return (loss * valid).sum() / valid.sum().clamp_min(1)


def _tell(what: str, values: dict[str, float]) -> None:
    print(what, json.dumps({name: round(value, 3) for name, value in values.items()}), flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m lab.photos.train", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that lab.real.fetch prepared")
    parser.add_argument("--encoded", type=Path, required=True, help="folder that lab.photos.encode wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint and reader.pt")
    parser.add_argument("--twin", type=Path, help="train the twin, on whole videos only, from this checkpoint.pt")
    chosen = parser.parse_args(arguments)
    train_pool, search = (Pool(chosen.data, chosen.encoded, split) for split in ("train", "search"))
    torch.set_num_threads(1)
    try:
        train(train_pool, search, chosen.out, WHOLE if chosen.twin else VARIED, chosen.twin)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
