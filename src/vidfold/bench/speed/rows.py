"""The rows of a run's tables: times by stage, work and rates reached, cases side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from vidfold.bench.speed.flops import Work
from vidfold.bench.speed.quantities import NONE, amount, rate, ratio, span, spread
from vidfold.bench.speed.results import (
    AUTHORS,
    FOLD,
    FOLDED,
    ORACLE,
    PLAIN,
    PREFILL,
    SPLICE,
    STEP,
    TAPPED,
    UNFOLDED,
    Measured,
    Results,
    Way,
)

Rows = list[tuple[str, ...]]
"""The first row is the head."""


def names(results: Results, case: Measured) -> list[str]:
    """Displayed names of the ways."""
    method = str(results.method["name"])
    if isinstance(share := results.method.get("retention"), float):
        method += f" {100 * share:.4g} %"
    shown = {UNFOLDED: "unfolded", FOLDED: method, ORACLE: "oracle", AUTHORS: "authors' way"}
    return [shown[way.name] for way in case.ways]


def times(results: Results, case: Measured) -> Rows:
    """One row per stage, one column per way."""

    def row(name: str, cell: Callable[[Way], str]) -> tuple[str, ...]:
        return (name, *map(cell, case.ways))

    unfolded = case.way(UNFOLDED)
    tower = spread(case.tower()) if len(case.passes) > 1 else span(case.tower().median)
    return [
        ("", *names(results, case)),
        row("visual tokens", lambda way: _tokens(way.tokens)),
        row("vision tower", lambda way: tower),
        row("  a frame", lambda way: spread(case.tower_a_frame())),
        row("saliency", lambda way: _saliency(case, way)),
        row("  tower with / without", lambda way: NONE if way.tower == PLAIN else ratio(case.tower_ratio(way.tower))),
        row("fold", lambda way: spread(way.spread(FOLD))),
        row("splice", lambda way: spread(way.spread(SPLICE))),
        row("prefill", lambda way: spread(way.spread(PREFILL))),
        row("first token", lambda way: span(case.first_token(way))),
        row("  times as fast", lambda way: times_as_fast(case.first_token(unfolded), case.first_token(way))),
        row("a further token", lambda way: spread(way.spread(STEP))),
        row("  times as fast", lambda way: times_as_fast(median_of(unfolded, STEP), median_of(way, STEP))),
        row("cache", lambda way: f"{way.cache_positions} positions, {amount(way.cache_bytes, 'B')}"),
        row("memory, tower", lambda way: _memory(case.tower_memory.get(way.tower))),
        row("memory, fold", lambda way: _memory(way.memory.get(FOLD))),
        row("memory, prefill", lambda way: _memory(way.memory.get(PREFILL))),
    ]


def work(results: Results, case: Measured) -> Rows:
    """Operations and bytes of the stages that define them, and the rates reached."""
    called = names(results, case)
    rows: Rows = [("work", "operations", "bytes at least", "measured", "reached", "moved")]

    def add(name: str, must: Work | None, milliseconds: float | None) -> None:
        if must is not None and milliseconds is not None:
            rows.append(
                (
                    name,
                    amount(must.operations, ""),
                    amount(must.bytes, "B"),
                    span(milliseconds),
                    rate(must.operations, milliseconds, "FLOP/s"),
                    rate(must.bytes, milliseconds, "B/s"),
                )
            )

    add("vision tower", case.tower_work.get(PLAIN), case.tower().median)
    added = case.added(TAPPED)
    add(f"saliency, {called[1]}", case.tower_work.get(TAPPED), None if added is None else added.median)
    for stage, title in ((FOLD, "fold"), (PREFILL, "prefill"), (STEP, "a further token")):
        for way, name in zip(case.ways, called, strict=True):
            add(f"{title}, {name}", way.work.get(stage), median_of(way, stage))
    return rows


def side_by_side(results: Results) -> list[Rows]:
    """Time to first token of all cases in one table, if there are several cases."""
    if len(results.cases) < 2:
        return []
    ways = max((case.ways for case in results.cases), key=len)
    rows: Rows = [("frames", "batch", *(f"first token, {way.name}" for way in ways))]
    for case in results.cases:
        firsts = {way.name: case.first_token(way) for way in case.ways}
        rows.append((str(case.frames), str(case.batch), *(span(firsts.get(way.name)) for way in ways)))
    return [rows]


def _saliency(case: Measured, way: Way) -> str:
    if way.tower == PLAIN:
        return NONE
    added = case.added(way.tower)
    if added is None:
        return f"{span(median(case.differences(way.tower)))} per frame, on {case.pictures(way.tower)} frames"
    return spread(added)


def _tokens(tokens: Sequence[int]) -> str:
    return str(tokens[0]) if len(set(tokens)) == 1 else f"{min(tokens)} to {max(tokens)}"


def median_of(way: Way, stage: str) -> float | None:
    """Median of a stage; None if the way does not have it."""
    found = way.spread(stage)
    return None if found is None else found.median


def times_as_fast(before: float | None, after: float | None) -> str:
    """Ratio of two times."""
    return NONE if before is None or after is None else f"{before / after:.2f}"


def _memory(count: int | None) -> str:
    return amount(count, "B")
