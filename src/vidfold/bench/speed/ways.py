"""The compared ways to a first token, and the work of each."""

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
"""Setting of AOT's authors for 10 % of the tokens, and the number of patches per frame it is meant for."""
ATTENTION = frozenset({"shallow", "deep"})
"""Fields of `VideoTokens` with the received attention of one layer each."""


def tower_ways(subject: Subject, plan: Plan) -> dict[str, Encode]:
    """Ways to run the vision tower."""
    ways: dict[str, Encode] = {PLAIN: stock(subject.model), TAPPED: tapped(subject.family, plan.reducer.needs)}
    if has_authors_way(subject, plan):
        ways[AUTHORS_TOWER] = lambda inputs: authors_tower.encode(subject.model, inputs)
    return ways


def routes(language: LanguageTimes, plan: Plan, with_authors: bool) -> dict[str, Route]:
    """Stages of every way after the tower; folds each video once to get the oracle's number of tokens."""
    # If the method needs no attention, the tower runs unobserved.
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
    """The videos with received attention, which the authors' way needs even if the method does not."""
    if plan.reducer.needs >= ATTENTION:
        return list(videos)
    seen = tower.encoded(tapped(subject.family, ATTENTION))
    return [replace(video, shallow=x.shallow, deep=x.deep) for video, x in zip(videos, seen, strict=True)]


def spaced(video: VideoTokens, count: int) -> Reduction:
    """``count`` pooled tokens, evenly spaced over the whole video."""
    index = torch.tensor(evenly(video.frames * video.cells, count), device=video.features.device)
    side = None if video.side is None else video.side.flatten(1, 2)[:, index]
    return replace(select(video, index, weights=False), side=side)


def tower_work(subject: Subject, case: Case, groups: int, needs: frozenset[str]) -> dict[str, Work]:
    """Work of the tower for all frames, plain, and the work that tapping adds; empty for uncounted towers."""
    if not _is_counted(subject):
        return {}
    tower, frames = Tower.of(subject.model.config), case.pictures
    work = {PLAIN: tower.encode(frames, groups, subject.width)}
    if layers := len(needs & ATTENTION):
        work[TAPPED] = tower.received(frames, layers, subject.width)
    return work


def language_work(subject: Subject, case: Case, samples: Samples) -> dict[str, Work]:
    """Work of the stages after the tower in one way."""
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
    """Whether there is an authors' way: for AOT, on the grid that the authors' setting is meant for."""
    if not isinstance(plan.reducer, AOT | AOTPaper) or not _is_counted(subject):
        return False
    return Tower.of(subject.model.config).patches == AUTHORS_PATCHES


def uncounted(subject: Subject) -> list[str]:
    """A note if the work of the tower is not counted."""
    if _is_counted(subject):
        return []
    return [f"Operations of the tower and bytes of the fold are not counted for {subject.family.model_type}."]


def _is_counted(subject: Subject) -> bool:
    return subject.family.model_type == LlavaOnevision.model_type
