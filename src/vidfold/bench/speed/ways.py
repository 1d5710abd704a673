"""The ways to a first token that are compared, and what each must do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from vidfold.bench import authors_tower
from vidfold.bench.authors import Authors
from vidfold.bench.speed.flops import Decoder, Tower, Work
from vidfold.bench.speed.language import LanguageTimes, Route, Samples
from vidfold.bench.speed.plan import Case, Plan, evenly
from vidfold.bench.speed.results import (
    AUTHORS,
    AUTHORS_TOWER,
    FOLD,
    FOLDED,
    ORACLE,
    PLAIN,
    PREFILL,
    STEP,
    TAPPED,
    UNFOLDED,
)
from vidfold.bench.speed.subject import Subject
from vidfold.bench.speed.tower import Encode, TowerTimes, stock, tapped
from vidfold.models import LlavaOnevision
from vidfold.reducers import AOT, AOTPaper, Identity, select
from vidfold.tokens import Reduction, VideoTokens

ANCHORS, KEEP, AUTHORS_PATCHES = 126, 0.3, 27 * 27
"""Setting of AOT's authors at 10 % of the tokens, and the patches a frame that it is for."""
ATTENTION = frozenset({"shallow", "deep"})
"""Fields of `VideoTokens` that take the attention received in one layer each."""


def tower_ways(subject: Subject, plan: Plan) -> dict[str, Encode]:
    """How the vision tower is run."""
    ways: dict[str, Encode] = {PLAIN: stock(subject.model), TAPPED: tapped(subject.family, plan.reducer.needs)}
    if has_authors_way(subject, plan):
        ways[AUTHORS_TOWER] = lambda inputs: authors_tower.encode(subject.model, inputs)
    return ways


def routes(language: LanguageTimes, plan: Plan, with_authors: bool) -> dict[str, Route]:
    """What every way does after the tower; folds once for each, to know how many tokens the oracle is to keep."""
    # Where nothing is read off the tower, running it as the fold does is running it plainly.
    folded = Route(FOLDED, TAPPED if plan.reducer.needs else PLAIN, fold=plan.reducer)
    free = tuple(spaced(video, len(plan.reducer(video))) for video in language.videos)
    everything = tuple(map(Identity(), language.videos))
    made = [
        Route(UNFOLDED, PLAIN, ready=everything, spliced=False),
        folded,
        Route(ORACLE, PLAIN, ready=free),
    ]
    if with_authors:
        theirs = Authors(ANCHORS, KEEP)
        made.append(Route(AUTHORS, AUTHORS_TOWER, fold=theirs, aside=replace(theirs, gemm=True)))
    return {route.name: route for route in made}


def observed(subject: Subject, plan: Plan, tower: TowerTimes, videos: Sequence[VideoTokens]) -> list[VideoTokens]:
    """The videos with what the authors' way folds by, which the method may do without."""
    if plan.reducer.needs >= ATTENTION:
        return list(videos)
    seen = tower.encoded(tapped(subject.family, ATTENTION))
    return [replace(video, shallow=x.shallow, deep=x.deep) for video, x in zip(videos, seen, strict=True)]


def spaced(video: VideoTokens, count: int) -> Reduction:
    """So many pooled tokens, evenly spaced over the whole video."""
    index = torch.tensor(evenly(video.frames * video.cells, count), device=video.features.device)
    side = None if video.side is None else video.side.flatten(1, 2)[:, index]
    return replace(select(video, index, weights=False), side=side)


def tower_work(subject: Subject, case: Case, groups: int, needs: frozenset[str]) -> dict[str, Work]:
    """What the tower must do for all frames: plain, and what the tapped way adds; nothing for towers not counted."""
    if not _is_counted(subject):
        return {}
    tower, frames = Tower.of(subject.model.config), case.pictures
    work = {PLAIN: tower.encode(frames, groups, subject.width)}
    if layers := len(needs & ATTENTION):
        work[TAPPED] = tower.received(frames, layers, subject.width)
    return work


def language_work(subject: Subject, case: Case, samples: Samples) -> dict[str, Work]:
    """What the stages after the tower must do in one way."""
    decoder = Decoder.of(subject.model.config.get_text_config())
    work = {
        PREFILL: decoder.prefill(case.batch, samples.positions, subject.width),
        STEP: decoder.step(case.batch, samples.positions, subject.width),
    }
    if FOLD in samples.milliseconds and _is_counted(subject):
        work[FOLD] = Tower.of(subject.model.config).fold(case.pictures, sum(samples.tokens), subject.width)
    return work


def papers_prefill(subject: Subject, samples: Samples) -> float:
    """Prefill operations of all videos as papers count them."""
    decoder = Decoder.of(subject.model.config.get_text_config())
    return sum(map(decoder.papers_prefill, samples.tokens))


def has_authors_way(subject: Subject, plan: Plan) -> bool:
    """Whether the method's authors have a way of their own here: AOT's, on the grid that their setting is for."""
    if not isinstance(plan.reducer, AOT | AOTPaper) or not _is_counted(subject):
        return False
    return Tower.of(subject.model.config).patches == AUTHORS_PATCHES


def uncounted(subject: Subject) -> list[str]:
    """A note where the work of the tower is not counted."""
    if _is_counted(subject):
        return []
    return [f"Operations of the tower, and of the fold its bytes, are not counted for {subject.family.model_type}."]


def _is_counted(subject: Subject) -> bool:
    return subject.family.model_type == LlavaOnevision.model_type
