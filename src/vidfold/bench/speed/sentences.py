"""Findings on a case in sentences, and notes on how it was measured."""

from __future__ import annotations

from collections.abc import Iterator

from vidfold.bench.speed.quantities import amount, span, spread
from vidfold.bench.speed.results import (
    AUTHORS,
    FOLD_ASIDE,
    FOLDED,
    ORACLE,
    PREFILL,
    TAPPED,
    UNFOLDED,
    Measured,
    Results,
    Way,
)
from vidfold.bench.speed.rows import median_of, names, times_as_fast

CLEAR = 0.75
"""Least share of groups that must be slower for a clear difference."""


def sentences(results: Results, case: Measured) -> Iterator[str]:
    """The sentences, findings first."""
    unfolded, folded, oracle = (case.way(name) for name in (UNFOLDED, FOLDED, ORACLE))
    method = results.method["name"]
    first, best = case.first_token(folded), case.first_token(oracle)
    assert first is not None  # the tower always runs in these ways over all frames
    assert best is not None
    faster = times_as_fast(median_of(unfolded, PREFILL), median_of(folded, PREFILL))
    yield f"Prefill after {method} is {faster} times as fast as unfolded."
    more = 100 * (first / best - 1)
    noise = "" if more >= 0 else ", which is noise: the oracle does less work"
    yield f"First token with {method}: {abs(more):.1f} % {'above' if more >= 0 else 'below'} the oracle's{noise}."
    differences, added = case.differences(folded.tower), case.added(folded.tower)
    slower = sum(difference > 0 for difference in differences)
    if TAPPED in case.tower_work and slower < CLEAR * len(differences):
        yield (
            f"Observing attention made the tower slower in only {slower} of {len(differences)} groups: the cost of "
            f"saliency is below the noise of this machine{' and counts as 0' if added and added.median < 0 else ''}."
        )
    for way in case.ways:
        if way.name == AUTHORS:
            yield from _authors(case, way, f"with {method}", first)
    yield from case.notes
    named = list(zip(names(results, case), case.ways, strict=True))
    if (passes := len(case.passes)) == 1:
        yield "One pass of the vision tower; the spread is over its groups."
    else:
        yield f"{passes} passes of the vision tower."
    counts = ", ".join(f"{name} {amount(case.papers_prefill[way.name], '')}" for name, way in named)
    yield f"Prefill operations as papers count them (visual tokens only, a multiply-add as one operation): {counts}."
    told = ", ".join(f"{name} {len(way.milliseconds[PREFILL])}" for name, way in named)
    yield f"Runs of the stages after the tower: {told}."
    if results.group is not None:
        yield f"The tower ran on {results.group} frames of each video at a time."
    yield f"Reading {case.frames} frames of {results.video}: {span(case.read_ms)}, not counted above."


def _authors(case: Measured, way: Way, method: str, first: float) -> Iterator[str]:
    theirs, aside = case.first_token(way), way.spread(FOLD_ASIDE)
    if theirs is not None:
        yield f"First token of the authors' way: {theirs / first:.2f} times as long as {method}."
    measured, longer = case.pictures(way.tower), f"{case.tower_ratio(way.tower).median:.2f} times as long as untouched"
    if not case.is_whole(way.tower):
        yield (
            f"The authors' tower was measured on {measured} of {case.frames * case.batch} frames: {longer} on the same "
            "frames. So there is no time to first token for their way."
        )
    if aside is not None:
        yield f"The authors' fold, changed to compute cosines as matrix products: {spread(aside)}."
