"""What a case comes to, in sentences, and what to know of how it was measured."""

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
"""Share of the groups that should agree that a difference is one."""


def sentences(results: Results, case: Measured) -> Iterator[str]:
    """One by one, the findings first."""
    unfolded, folded, oracle = (case.way(name) for name in (UNFOLDED, FOLDED, ORACLE))
    method = results.method["name"]
    first, best = case.first_token(folded), case.first_token(oracle)
    assert first is not None  # the tower always runs in these ways over all frames
    assert best is not None
    faster = times_as_fast(median_of(unfolded, PREFILL), median_of(folded, PREFILL))
    yield f"Prefill after {method} is {faster} times as fast as unfolded."
    more = 100 * (first / best - 1)
    noise = "" if more >= 0 else ", which is noise: the oracle does nothing that it leaves out"
    yield f"First token with {method}: {abs(more):.1f} % {'above' if more >= 0 else 'below'} the oracle's{noise}."
    differences, added = case.differences(folded.tower), case.added(folded.tower)
    slower = sum(difference > 0 for difference in differences)
    if TAPPED in case.tower_work and slower < CLEAR * len(differences):
        yield (
            f"The tower took longer with the look into it in {slower} of {len(differences)} groups only: saliency is "
            f"lost in the noise of this machine{', and counts as nothing' if added and added.median < 0 else ''}."
        )
    for way in case.ways:
        if way.name == AUTHORS:
            yield from _authors(case, way, f"with {method}", first)
    yield from case.notes
    named = list(zip(names(results, case), case.ways, strict=True))
    if (passes := len(case.passes)) == 1:
        yield "One pass of the vision tower; its spread is that of its groups."
    else:
        yield f"{passes} passes of the vision tower."
    counts = ", ".join(f"{name} {amount(case.papers_prefill[way.name], '')}" for name, way in named)
    yield f"Prefill as papers count it (visual tokens alone, a multiply-add as one operation): {counts}."
    told = ", ".join(f"{name} {len(way.milliseconds[PREFILL])}" for name, way in named)
    yield f"Runs of the stages after it: {told}."
    if results.group is not None:
        yield f"The tower was given {results.group} frames of each video at a time."
    yield f"Reading {case.frames} frames of {results.video}: {span(case.read_ms)}, not counted above."


def _authors(case: Measured, way: Way, method: str, first: float) -> Iterator[str]:
    theirs, aside = case.first_token(way), way.spread(FOLD_ASIDE)
    if theirs is not None:
        yield f"First token of the authors' way: {theirs / first:.2f} times as long as {method}."
    measured, longer = case.pictures(way.tower), f"{case.tower_ratio(way.tower).median:.2f} times as long as untouched"
    if not case.is_whole(way.tower):
        yield (
            f"The authors' tower was measured on {measured} of {case.frames * case.batch} frames: {longer} on the same "
            "frames. So their way has no time to first token here."
        )
    if aside is not None:
        yield f"The authors' fold with its cosines as matrix products, which it does not have: {spread(aside)}."
