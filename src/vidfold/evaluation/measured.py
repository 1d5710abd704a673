"""Read what lmms-eval measured of folded models, by the benchmarks of the papers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidfold.evaluation.described import RESULTS, Run, descriptions, load_object, own_description, run_of


@dataclass(frozen=True)
class Metric:
    """How a benchmark is read from results.

    Attributes:
        tasks: of lmms-eval; the benchmark is their mean.
        name: of the metric.
        percent: factor from the metric to %.
    """

    tasks: tuple[str, ...]
    name: str
    percent: float


_MVBENCH = (
    "action_antonym", "action_count", "action_localization", "action_prediction", "action_sequence",
    "character_order", "counterfactual_inference", "egocentric_navigation", "episodic_reasoning",
    "fine_grained_action", "fine_grained_pose", "moving_attribute", "moving_count", "moving_direction",
    "object_existence", "object_interaction", "object_shuffle", "scene_transition", "state_change",
    "unexpected_action",
)  # fmt: skip

BENCHMARKS = {
    # lmms-eval gives no value for the group.
    "MVBench": Metric(tuple(f"mvbench_{name}" for name in _MVBENCH), "mvbench_accuracy", 1.0),
    # All questions, scored by the benchmark's server; the published column does not use the subset of 500.
    "EgoSchema": Metric(("egoschema",), "submission", 1.0),
    "LongVideoBench": Metric(("longvideobench_val_v",), "lvb_acc", 100.0),
    "VideoMME": Metric(("videomme",), "videomme_perception_score", 1.0),
}
"""Benchmark, as the published tables call it -> tasks and metric of lmms-eval 0.7.3."""

_OF_TASK = {task: metric for metric in BENCHMARKS.values() for task in metric.tasks}


@dataclass(frozen=True)
class Measurement:
    """One benchmark of one run.

    Attributes:
        run: its settings.
        benchmark: as the published tables call it.
        value: in %.
        error: standard error of the value in points, or None.
        kept: mean share of a video's tokens that the language model was given, or None.
        files: of results from which it was read.
    """

    run: Run
    benchmark: str
    value: float
    error: float | None
    kept: float | None
    files: tuple[str, ...]


@dataclass(frozen=True)
class Unmatched:
    """A measurement without a published number.

    Attributes:
        what: task or benchmark.
        reason: why.
        files: of results from which it was read.
        measurement: the value, if there is one.
    """

    what: str
    reason: str
    files: tuple[str, ...]
    measurement: Measurement | None = None


@dataclass(frozen=True)
class _Score:
    """One task of one run; value and standard error in %."""

    value: float
    error: float | None
    kept: float | None
    file: str


def read_results(folder: str | Path) -> tuple[list[Measurement], list[Unmatched]]:
    """All measurements under a folder that lmms-eval wrote to, and what could not be used.

    Files ``*_results.json`` of lmms-eval 0.7.3 are read at any depth; `vidfold.evaluation.described` says how their
    settings are found. If a configuration was measured twice on a task, the last file name counts, which is the latest.
    Standard errors are the clustered ones if lmms-eval gives them, else the naive ones, else those of a binomial.

    Raises:
        ValueError: no results there, or a file that neither lmms-eval nor vidfold wrote.
    """
    folder = Path(folder)
    files = sorted(folder.rglob(f"*{RESULTS}"), key=lambda path: (path.name, path))
    if not files:
        raise ValueError(f"{str(folder)!r} holds no *{RESULTS}; give a folder that lmms-eval wrote to (--output_path)")
    known = descriptions(folder)
    runs: dict[Run, dict[str, _Score]] = {}
    unmatched: list[Unmatched] = []
    for path in files:
        name, content = str(path.relative_to(folder)), load_object(path)
        results = {task: values for task, values in content["results"].items() if _is_measured(task, values)}
        description = own_description(path, content, known)
        if isinstance(description, str):
            unmatched.append(Unmatched(", ".join(results) or "nothing", description, (name,)))
            continue
        scores = runs.setdefault(run_of(description), {})
        for task, values in results.items():
            score = _score(task, values, description, name)
            if isinstance(score, str):
                unmatched.append(Unmatched(task, score, (name,)))
                continue
            if task in scores:
                unmatched.append(Unmatched(task, f"measured again in {name}", (scores[task].file,)))
            scores[task] = score
    measurements: list[Measurement] = []
    for run, scores in runs.items():
        for benchmark, metric in BENCHMARKS.items():
            found = [scores[task] for task in metric.tasks if task in scores]
            if len(found) == len(metric.tasks):
                measurements.append(_mean(run, benchmark, found))
            elif found:
                reason = f"{len(found)} of its {len(metric.tasks)} tasks were measured"
                unmatched.append(Unmatched(benchmark, reason, _files(found)))
    return measurements, unmatched


def mean_error(errors: Sequence[float | None]) -> float | None:
    """Standard error of the mean of independent values; None if one of their errors is not known."""
    known = [error for error in errors if error is not None]
    return math.hypot(*known) / len(errors) if len(known) == len(errors) else None


def mean_known(values: Iterable[float | None]) -> float | None:
    """Mean of the known values; None if there are none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _is_measured(task: str, values: object) -> bool:
    """Whether this is a task with values; groups may have none."""
    return isinstance(values, dict) and (task in _OF_TASK or "samples" in values)


def _score(task: str, values: Mapping[str, Any], description: Mapping[str, Any], file: str) -> _Score | str:
    """The score of a task, or why there is none."""
    if task not in _OF_TASK:
        return "no published column has this task"
    metric = _OF_TASK[task]
    value = _value(values, metric.name)
    if value is None:
        return f"no score: {metric.name} is not a number"
    value, asked = metric.percent * value, values.get("samples")
    # lmms-eval computes both errors from scores of 0 and 1, in any unit of the metric.
    error = next(
        (
            100 * error
            for kind in ("clustered", "clt")
            if (error := _value(values, f"{metric.name}_stderr_{kind}")) is not None
        ),
        None,
    )
    if error is None and isinstance(asked, int) and asked > 1:
        error = math.sqrt(value * (100 - value) / (asked - 1))
    own = description.get("tasks", {}).get(task, description)
    return _Score(value, error, own.get("tokens", {}).get("kept", {}).get("mean"), file)


def _value(values: Mapping[str, Any], metric: str) -> float | None:
    """A metric's value; with several filters, that of the first."""
    found = next((value for name, value in values.items() if name.partition(",")[0] == metric), None)
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        return None
    return float(found)


def _mean(run: Run, benchmark: str, scores: Sequence[_Score]) -> Measurement:
    return Measurement(
        run=run,
        benchmark=benchmark,
        value=sum(score.value for score in scores) / len(scores),
        error=mean_error([score.error for score in scores]),
        kept=mean_known(score.kept for score in scores),
        files=_files(scores),
    )


def _files(scores: Iterable[_Score]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(score.file for score in scores))
