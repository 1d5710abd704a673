"""A run as text, for a terminal and in Markdown."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from vidfold.app.tables import markdown_table, table
from vidfold.bench.speed.quantities import amount
from vidfold.bench.speed.results import AUTHORS, Results
from vidfold.bench.speed.rows import Rows, side_by_side, times, work
from vidfold.bench.speed.sentences import sentences

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
    "Times are medians (fastest–slowest). Vision tower: with projector and pooling, all frames, in groups that run "
    "through it in every way in direct succession. Saliency: time added by observing attention in the tower, median of "
    "paired groups. Prefill: up to the logits of the last position. First token: sum of the medians above. Memory: "
    "peak of a stage above the level before it; for the tower, of the first group. Operations: of matrix products, two "
    "per multiply-add, causal attention counted as half the square. Bytes: weights, inputs and results once."
)


@dataclass(frozen=True)
class Section:
    """Tables and sentences on one case.

    Attributes:
        title: names the case.
        times: one row per stage, one column per way.
        work: operations and bytes, and the rates reached.
        sentences: findings, and notes on the measurement.
    """

    title: str
    times: Rows
    work: Rows
    sentences: tuple[str, ...]


def sections(results: Results) -> list[Section]:
    """One section per case."""
    return [
        Section(
            f"{case.frames} frames, batch {case.batch}: {case.tokens} visual and {case.text} other tokens per prompt",
            times(results, case),
            work(results, case),
            tuple(sentences(results, case)),
        )
        for case in results.cases
    ]


def overview(results: Results) -> str:
    """Everything for a terminal."""
    parts = ["\n".join(_head(results))]
    for section in sections(results):
        told = "\n".join(map(_wrapped, section.sentences))
        parts += [section.title, table(section.times), told, table(section.work)]
    return "\n\n".join(
        [*parts, *map(table, side_by_side(results)), _wrapped(_legend(results)), *map(_wrapped, _feet(results))]
    )


def markdown(results: Results) -> str:
    """Everything in Markdown."""
    parts = ["\n".join(f"- {line}" for line in _head(results))]
    for section in sections(results):
        lines = "\n".join(f"- {sentence}" for sentence in section.sentences)
        parts += [f"### {section.title}", markdown_table(section.times), lines, markdown_table(section.work)]
    parts += map(markdown_table, side_by_side(results))
    return "\n\n".join([*parts, _legend(results), *_feet(results)]) + "\n"


def _head(results: Results) -> Iterator[str]:
    model, about = results.model, results.provenance
    weights = ", random weights (speed does not depend on their values)" if model["random_weights"] else ""
    yield f"{model['name']}, {amount(model['parameters'], '')} parameters{weights}"
    yield f"{about['dtype']} on {about['device']}: {about['processor']}, {about['threads']} threads"
    yield results.title


def _legend(results: Results) -> str:
    shown = any(way.name == AUTHORS for case in results.cases for way in case.ways)
    return " ".join([_WAYS, _AUTHORS, _STAGES] if shown else [_WAYS, _STAGES])


def _feet(results: Results) -> list[str]:
    names = ("vidfold", "code", "torch", "transformers", "python", "system", "attention", "weights", "seed", "date")
    about = ", ".join(f"{name} {results.provenance[name]}" for name in names)
    return [f"Measured with {about}; memory: {results.memory_source}."]


def _wrapped(text: str) -> str:
    return textwrap.fill(text, shutil.get_terminal_size((120, 24)).columns)
