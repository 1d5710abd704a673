"""A run as text, for a terminal and in Markdown, and its two files."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from vidfold.app.tables import ROUNDS_UP, amount, digits, markdown_table, percent, table, wrapped
from vidfold.app.writing import write_text
from vidfold.bench.speed import results as names
from vidfold.bench.speed.results import Case, Results, Spread, Way

NONE = "-"
Rows = list[tuple[str, ...]]
"""The first row is the head."""

_LEGEND = (
    "Unfolded: the untouched model. Oracle: the same number of tokens, evenly spaced, chosen at no cost and without "
    "observing attention; a lower bound for every method that keeps as many tokens.",
    "Authors' way: as the program of AOT's authors at their setting for 10 % (126 anchors, keep 0.3): the tower with "
    "eager attention, attention matrices of all layers kept, then AOT.reference in float32. Their fold takes longer "
    "(lab.fold).",
    "Times are medians with their 95 % interval; with fewer than nine samples, the fastest and the slowest, which "
    "hold the median in 75 % of cases with three samples and in 97 % with six. Every way is warmed up once, then all "
    "take turns. Vision tower: with projector and pooling, the median frame times the number of frames, from groups "
    "of frames that run in every way in direct succession. Saliency: time added by observing attention in the tower, "
    "median of pairs. Not told from zero: the interval holds zero. Prefill: up to the logits of the last "
    "position. First token: sum of the medians and of the bounds above. Memory: peak of a stage above the level "
    "before it, in the warm-up; for the tower, of one group. Work: operations of matrix products as torch counts "
    "them, two per multiply-add, all of the square of causal attention, none of kernels in Triton; for the tower, of a "
    "frame.",
)


def overview(results: Results) -> str:
    """Everything for a terminal."""
    return "\n\n".join(table(part) if isinstance(part, list) else wrapped(part, "  ") for part in _parts(results))


def markdown(results: Results) -> str:
    """Everything in Markdown."""
    return "\n\n".join(markdown_table(part) if isinstance(part, list) else part for part in _parts(results)) + "\n"


def _parts(results: Results) -> Iterator[str | Rows]:
    """Headings, lists of sentences, and tables."""
    yield _listed(_head(results))
    for case in results.cases:
        words = f"{case.tokens} visual and {case.text} other tokens per prompt"
        yield f"### {case.frames} frames, batch {case.batch}: {words}"
        yield _times(results, case)
        yield _listed(_sentences(results, case))
    yield _listed(_foot(results))


def _listed(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


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


def _names(results: Results, case: Case) -> list[str]:
    """Displayed names of the ways."""
    method, share = str(results.method["name"]), results.method.get("retention")
    method += f" {percent(share, 4)}" if isinstance(share, float) else ""
    shown = {names.UNFOLDED: "unfolded", names.FOLDED: method, names.ORACLE: "oracle", names.AUTHORS: "authors' way"}
    return [shown[way.name] for way in case.ways]


def _times(results: Results, case: Case) -> Rows:
    """One row per stage, one column per way."""

    def row(name: str, cell: Callable[[Way], str]) -> tuple[str, ...]:
        return (name, *map(cell, case.ways))

    def faster(time: Callable[[Way], Spread | None]) -> tuple[str, ...]:
        first, *others = map(time, case.ways)
        return "  times as fast", NONE, *(ratio(first.over(own)) if first and own else NONE for own in others)

    def step(way: Way) -> Spread | None:
        return way.spread(names.STEP)

    def memory(stage: str) -> tuple[str, ...]:
        return row(f"memory, {stage}", lambda way: amount(way.memory.get(stage), "B"))

    def worked(stage: str) -> tuple[str, ...]:
        return row(f"work, {stage}", lambda way: work(way.operations.get(stage), way.spread(stage)))

    return [
        ("", *_names(results, case)),
        row("visual tokens", lambda way: " to ".join(map(str, dict.fromkeys((min(way.tokens), max(way.tokens)))))),
        row("vision tower", lambda way: spread(case.tower())),
        row("  a frame", lambda way: spread(case.a_frame())),
        row("saliency", lambda way: difference(added) if (added := case.added(way)) else NONE),
        *((stage, *(spread(way.spread(stage)) for way in case.ways)) for stage in names.FIRST_TOKEN),
        row("first token", lambda way: spread(case.first_token(way))),
        faster(case.first_token),
        row("a further token", lambda way: spread(step(way))),
        faster(step),
        row("cache", lambda way: f"{way.cache_positions} positions, {amount(way.cache_bytes, 'B')}"),
        *map(memory, (names.TOWER, names.FOLD, names.PREFILL)),
        *map(worked, (names.TOWER, names.PREFILL, names.STEP)),
    ]


def _sentences(results: Results, case: Case) -> Iterator[str]:
    """Findings on a case, and notes on how it was measured."""
    method, called = results.method["name"], dict(zip(_names(results, case), case.ways, strict=True))
    unfolded, folded, oracle = case.ways[:3]
    before, after = (Spread.of(way.milliseconds[names.PREFILL]) for way in (unfolded, folded))
    yield f"Prefill after {method} is {ratio(before.over(after))} times as fast as unfolded."
    more, best = case.above(folded, oracle), case.first_token(oracle).median
    share = f", {100 * more.median / best:.1f} % of its time" if more.is_told else ""
    yield f"First token with {method} above the oracle's: {difference(more)}{share}."
    yield from case.notes
    for told, stage in (
        (f"vision tower (frames of a video at a time: {results.group or 'all'})", names.TOWER),
        ("prefill", names.PREFILL),
    ):
        counts = (f"{name} {len(way.milliseconds[stage])}" for name, way in called.items() if stage in way.milliseconds)
        yield f"Samples of the {told}: {', '.join(counts)}."
    yield f"Reading {case.frames} frames of {results.video}: {span(case.read_ms)} (once), not counted above."


def _foot(results: Results) -> Iterator[str]:
    yield from _LEGEND
    told = ("vidfold", "code", "torch", "transformers", "python", "system", "attention", "weights", "seed", "date")
    about = ", ".join(f"{name} {results.provenance[name]}" for name in told)
    yield f"Measured with {about}; memory: {results.memory_source}."


def span(milliseconds: float) -> str:
    """A time in ms or s."""
    size, unit = _unit(milliseconds)
    return f"{digits(milliseconds / size)} {unit}"


def spread(samples: Spread | None) -> str:
    """The median, and its interval in the same unit."""
    if samples is None:
        return NONE
    size, _ = _unit(samples.median)
    interval = f"{digits(samples.low / size)}–{digits(samples.high / size)}"
    return f"{span(samples.median)} ({interval if samples.count > 1 else 'one sample'})"


def difference(samples: Spread) -> str:
    """A time that can be zero: the median only if its interval does not hold zero."""
    if samples.count > 1 and samples.is_told:
        return spread(samples)
    return f"not told from zero ({span(samples.low)} to {span(samples.high)})"


def ratio(samples: Spread) -> str:
    """A ratio and its interval."""
    return f"{samples.median:.2f} ({samples.low:.2f}–{samples.high:.2f})"


def work(operations: float | None, time: Spread | None) -> str:
    """Operations, and the rate reached."""
    if operations is None or time is None:
        return NONE
    return f"{amount(operations, 'FLOP')}, {amount(1000 * operations / time.median, 'FLOP/s')}"


def _unit(milliseconds: float) -> tuple[float, str]:
    return (1000.0, "s") if abs(milliseconds) >= 1000 * ROUNDS_UP else (1.0, "ms")
