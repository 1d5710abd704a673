"""A run as text, for a terminal and in Markdown, and its two files."""

import shutil
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from vidfold.app.tables import table
from vidfold.bench.numbers import markdown_table, percent
from vidfold.bench.speed import results as names
from vidfold.bench.speed.results import Measured, Results, Spread, Way
from vidfold.bench.speed.work import Work
from vidfold.bench.writing import write_text

NONE = "-"
Rows = list[tuple[str, ...]]
"""The first row is the head."""

_ROUNDS_UP = 0.9995
"""From this value on, three digits round up to 1.00."""
_PREFIXES = (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3))
_WAYS = (
    "Unfolded: the untouched model. Oracle: the same number of tokens, evenly spaced, chosen at no cost and without "
    "observing attention; a lower bound for every method that keeps as many tokens."
)
_AUTHORS = (
    "Authors' way: the cost of the program of AOT's authors at their setting for 10 % (126 anchors, keep 0.3), "
    "reimplemented in vidfold.bench: the tower with eager attention, attention matrices of all layers kept, frames "
    "folded one by one in float32."
)
_STAGES = (
    "Times are medians with their 95 % interval; with fewer than nine samples, the fastest and the slowest, which "
    "hold the median in 75 % of cases with three samples and in 97 % with six. Every way is warmed up once, then all "
    "take turns. Vision tower: with projector and pooling, the median frame times the number of frames, from groups "
    "of frames that run in every way in direct succession. Saliency: time added by observing attention in the tower, "
    "median of paired groups. Not told from zero: the interval holds zero. Prefill: up to the logits of the last "
    "position. First token: sum of the medians and of the bounds above. Memory: peak of a stage above the level "
    "before it, in the warm-up; for the tower, of the first group. Operations: of matrix products, two per multiply- "
    "add, causal attention counted as half the square. Bytes: weights, inputs and results once."
)


def overview(results: Results) -> str:
    """Everything for a terminal."""
    width = shutil.get_terminal_size((120, 24)).columns
    return _joined(results, str, lambda told: "\n".join(textwrap.fill(text, width) for text in told), table)


def markdown(results: Results) -> str:
    """Everything in Markdown."""
    text = _joined(results, "### {}".format, lambda told: "- " + "\n- ".join(told), markdown_table)
    return text + "\n"


def _joined(
    results: Results,
    heading: Callable[[str], str],
    sentences: Callable[[Iterable[str]], str],
    rows: Callable[[Rows], str],
) -> str:
    """All parts of the text, each made by the function for its kind."""
    parts = [sentences(_head(results))]
    for case in results.cases:
        words = f"{case.tokens} visual and {case.text} other tokens per prompt"
        parts += [heading(f"{case.frames} frames, batch {case.batch}: {words}"), rows(_times(results, case))]
        parts += [sentences(_sentences(results, case)), rows(_work(results, case))]
    if len(results.cases) > 1:
        parts.append(rows(_side_by_side(results)))
    return "\n\n".join([*parts, sentences(_foot(results))])


def write(results: Results, folder: str | Path) -> list[Path]:
    """Write samples as JSON and tables as Markdown to a folder, created if it is missing; returns both paths."""
    files = [Path(folder) / "speed.json", Path(folder) / "speed.md"]
    write_text(files[0], results.as_json() + "\n")
    write_text(files[1], markdown(results))
    return files


def _head(results: Results) -> Iterator[str]:
    model, about = results.model, results.provenance
    weights = ", random weights (speed does not depend on their values)" if model["random_weights"] else ""
    yield f"{model['name']}, {amount(model['parameters'], '')} parameters{weights}"
    yield f"{about['dtype']} on {about['device']}: {about['processor']}, {about['threads']} threads"
    yield results.title


def _names(results: Results, case: Measured) -> list[str]:
    """Displayed names of the ways."""
    method, share = str(results.method["name"]), results.method.get("retention")
    method += f" {percent(share, 4)}" if isinstance(share, float) else ""
    shown = {names.UNFOLDED: "unfolded", names.FOLDED: method, names.ORACLE: "oracle", names.AUTHORS: "authors' way"}
    return [shown[way.name] for way in case.ways]


def _times(results: Results, case: Measured) -> Rows:
    """One row per stage, one column per way."""

    def row(name: str, cell: Callable[[Way], str]) -> tuple[str, ...]:
        return (name, *map(cell, case.ways))

    def faster(time: Callable[[Way], Spread | None]) -> tuple[str, ...]:
        first, *others = map(time, case.ways)
        return "  times as fast", NONE, *(ratio(first.over(own)) if first and own else NONE for own in others)

    def observed(name: str, cell: Callable[[str], str]) -> tuple[str, ...]:
        return row(name, lambda way: NONE if way.tower == names.PLAIN else cell(way.tower))

    def step(way: Way) -> Spread | None:
        return way.spread(names.STEP)

    return [
        ("", *_names(results, case)),
        row("visual tokens", lambda way: " to ".join(map(str, dict.fromkeys((min(way.tokens), max(way.tokens)))))),
        row("vision tower", lambda way: spread(case.tower())),
        row("  a frame", lambda way: spread(case.a_frame())),
        observed("saliency", lambda kind: difference(case.added(kind))),
        observed("  tower with / without", lambda kind: ratio(case.tower_ratio(kind))),
        *((stage, *(spread(way.spread(stage)) for way in case.ways)) for stage in names.FIRST_TOKEN),
        row("first token", lambda way: spread(case.first_token(way))),
        faster(case.first_token),
        row("a further token", lambda way: spread(step(way))),
        faster(step),
        row("cache", lambda way: f"{way.cache_positions} positions, {amount(way.cache_bytes, 'B')}"),
        row("memory, tower", lambda way: amount(case.tower_memory.get(way.tower), "B")),
        row("memory, fold", lambda way: amount(way.memory.get(names.FOLD), "B")),
        row("memory, prefill", lambda way: amount(way.memory.get(names.PREFILL), "B")),
    ]


def _work(results: Results, case: Measured) -> Rows:
    """Operations and bytes of the stages that define them, and the rates reached."""
    called = _names(results, case)
    rows: Rows = [("work", "operations", "bytes at least", "measured", "reached", "moved")]

    def add(name: str, must: Work | None, time: Spread | None) -> None:
        if must is not None and time is not None:
            least = amount(must.operations, ""), amount(must.bytes, "B")
            reached = rate(must.operations, time, "FLOP/s"), rate(must.bytes, time, "B/s")
            rows.append((name, *least, span(time.median) if time.is_told else difference(time), *reached))

    add("vision tower", case.tower_work.get(names.PLAIN), case.tower())
    if names.TAPPED in case.tower_work:
        add(f"saliency, {called[1]}", case.tower_work[names.TAPPED], case.added(names.TAPPED))
    for stage, title in ((names.FOLD, "fold"), (names.PREFILL, "prefill"), (names.STEP, "a further token")):
        for way, name in zip(case.ways, called, strict=True):
            add(f"{title}, {name}", way.work.get(stage), way.spread(stage))
    return rows


def _side_by_side(results: Results) -> Rows:
    """Time to first token of all cases."""
    called = list(dict.fromkeys(way.name for case in results.cases for way in case.ways))
    rows: Rows = [("frames", "batch", *(f"first token, {name}" for name in called))]
    for case in results.cases:
        firsts = {way.name: spread(case.first_token(way)) for way in case.ways}
        rows.append((str(case.frames), str(case.batch), *(firsts.get(name, NONE) for name in called)))
    return rows


def _sentences(results: Results, case: Measured) -> Iterator[str]:
    """Findings on a case, and notes on how it was measured."""
    method, called = results.method["name"], dict(zip(_names(results, case), case.ways, strict=True))
    unfolded, folded, oracle, *theirs = case.ways
    before, after = (Spread.of(way.milliseconds[names.PREFILL]) for way in (unfolded, folded))
    yield f"Prefill after {method} is {ratio(before.over(after))} times as fast as unfolded."
    more, best = case.above(folded, oracle), case.first_token(oracle).median
    share = f", {100 * more.median / best:.1f} % of its time" if more.is_told else ""
    yield f"First token with {method} above the oracle's: {difference(more)}{share}."
    for way in theirs:
        longer = ratio(case.first_token(way).over(case.first_token(folded)))
        yield f"First token of the authors' way: {longer} times as long as with {method}."
    yield from case.notes
    counts = ", ".join(f"{name} {amount(case.papers_prefill[way.name], '')}" for name, way in called.items())
    yield f"Prefill operations as papers count them (visual tokens only, a multiply-add as one operation): {counts}."
    kinds = ", ".join(f"{kind} {case.a_frame(kind).count}" for kind in dict.fromkeys(way.tower for way in case.ways))
    yield f"Runs of the vision tower (frames of a video at a time: {results.group or 'all'}): {kinds}."
    runs = ", ".join(f"{name} {len(way.milliseconds[names.PREFILL])}" for name, way in called.items())
    yield f"Runs of the stages after the tower: {runs}."
    yield f"Reading {case.frames} frames of {results.video}: {span(case.read_ms)} (once), not counted above."


def _foot(results: Results) -> Iterator[str]:
    shown = any(way.name == names.AUTHORS for case in results.cases for way in case.ways)
    yield " ".join([_WAYS, _AUTHORS, _STAGES] if shown else [_WAYS, _STAGES])
    told = ("vidfold", "code", "torch", "transformers", "python", "system", "attention", "weights", "seed", "date")
    about = ", ".join(f"{name} {results.provenance[name]}" for name in told)
    yield f"Measured with {about}; memory: {results.memory_source}."


def span(milliseconds: float) -> str:
    """A time in ms or s."""
    size, unit = _unit(milliseconds)
    return f"{_digits(milliseconds / size)} {unit}"


def spread(samples: Spread | None) -> str:
    """The median, and its interval in the same unit."""
    if samples is None:
        return NONE
    size, _ = _unit(samples.median)
    interval = f"{_digits(samples.low / size)}–{_digits(samples.high / size)}"
    return f"{span(samples.median)} ({interval if samples.count > 1 else 'one sample'})"


def difference(samples: Spread) -> str:
    """A time that can be zero: the median only if its interval does not hold zero."""
    if samples.count > 1 and samples.is_told:
        return spread(samples)
    return f"not told from zero ({span(samples.low)} to {span(samples.high)})"


def ratio(samples: Spread) -> str:
    """A ratio and its interval."""
    return f"{samples.median:.2f} ({samples.low:.2f}–{samples.high:.2f})"


def amount(value: float | None, unit: str) -> str:
    """A number with an SI prefix."""
    if value is None:
        return NONE
    prefix, size = next(((prefix, size) for prefix, size in _PREFIXES if value >= _ROUNDS_UP * size), ("", 1.0))
    return f"{_digits(value / size)} {prefix}{unit}".strip()


def rate(value: float | None, time: Spread, unit: str) -> str:
    """An amount per second; "-" for a time that is not told from zero."""
    return NONE if value is None or time.low <= 0 else amount(1000 * value / time.median, unit)


def _unit(milliseconds: float) -> tuple[float, str]:
    return (1000.0, "s") if abs(milliseconds) >= 1000 * _ROUNDS_UP else (1.0, "ms")


def _digits(value: float) -> str:
    """Three digits, no exponent."""
    size = abs(value)
    return f"{value:.{0 if size >= 99.95 else 1 if size >= 9.995 else 2}f}"
