"""What lmms-eval measured of folded models, by the benchmarks of the papers, with the settings of each run.

Three files are read. lmms-eval writes ``RUN_results.json``. vidfold's model for lmms-eval writes ``vidfold.json`` to
the folder of ``--output_path``; the nearest one in the folder of the results or above it counts, unless it contradicts
their ``model_args``: a later run may have replaced it. ``vidfold reproduce`` writes ``row.json`` beside it, with the
name of the row of which the run is a part, and the method's name in the published table.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from vidfold.app.tables import described
from vidfold.evaluation.records import ROW, SUMMARY, load_object
from vidfold.evaluation.settings import Settings, split
from vidfold.reducers import InnerReducer

RESULTS = "_results.json"
"""How the names of lmms-eval's files of results end."""


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
class Run:
    """The settings of one configuration; those of no run if they are not known.

    Attributes:
        pretrained: the checkpoint.
        method: its name.
        described: the method with its retention and its fields other than their defaults.
        retention: share of the tokens that was asked for, else the measured mean; None if neither is known.
        frames: of a video.
        config_hash: identifies the configuration.
        errors: samples whose video could not be read.
        published: the method's name in published tables; None if it follows from `method`, empty if it has none.
        row: of `vidfold reproduce`, or empty.
    """

    pretrained: str = ""
    method: str = ""
    described: str = ""
    retention: float | None = None
    frames: int | None = None
    config_hash: str = ""
    errors: int | None = None
    published: str | None = None
    row: str = ""


@dataclass(frozen=True)
class Measurement:
    """One benchmark of one run, or a task that belongs to none.

    Attributes:
        run: its settings.
        benchmark: as the published tables call it, or the task.
        files: of results from which it was read.
        value: in %; NaN if there is none.
        error: standard error of the value in points; NaN if it is not known.
        kept: mean share of a video's tokens that the language model was given, or None.
        reason: why it cannot be compared with a published number, or empty.
    """

    run: Run
    benchmark: str
    files: tuple[str, ...]
    value: float = math.nan
    error: float = math.nan
    kept: float | None = None
    reason: str = ""

    @classmethod
    def mean(cls, benchmark: str, parts: Sequence[Self]) -> Self:
        """The mean of independent parts."""
        kept = [part.kept for part in parts if part.kept is not None]
        return cls(
            run=parts[0].run,
            benchmark=benchmark,
            files=tuple(dict.fromkeys(file for part in parts for file in part.files)),
            value=sum(part.value for part in parts) / len(parts),
            error=math.hypot(*(part.error for part in parts)) / len(parts),
            kept=sum(kept) / len(kept) if kept else None,
        )


def read_results(folder: str | Path) -> list[Measurement]:
    """All measurements under a folder that lmms-eval wrote to; what cannot be used has a reason.

    Files ``*_results.json`` of lmms-eval 0.7.3 are read at any depth. If a configuration was measured twice on a task,
    the last file name counts, which is the latest. Standard errors are the clustered ones if lmms-eval gives them, else
    the naive ones, else those of a binomial.

    Raises:
        ValueError: no results there, or a file that neither lmms-eval nor vidfold wrote.
    """
    folder = Path(folder)
    files = sorted(folder.rglob(f"*{RESULTS}"), key=lambda path: (path.name, path))
    if not files:
        raise ValueError(f"{str(folder)!r} holds no *{RESULTS}; give a folder that lmms-eval wrote to (--output_path)")
    runs: dict[Run, dict[str, Measurement]] = {}
    found: list[Measurement] = []
    for path in files:
        name, content = str(path.relative_to(folder)), load_object(path, "results")
        # Groups of tasks may have no values.
        tasks = {
            task: values
            for task, values in content["results"].items()
            if isinstance(values, dict) and (task in _OF_TASK or "samples" in values)
        }
        told = _described(path, folder)
        run = _run(content.get("config") or {}, told)
        if isinstance(run, str):
            found.append(Measurement(Run(), ", ".join(tasks) or "nothing", (name,), reason=run))
            continue
        known = runs.setdefault(run, {})
        for task, values in tasks.items():
            measured = _measured(run, task, values, _kept(told.get("tasks", {}).get(task, told)), name)
            if measured.reason:
                found.append(measured)
                continue
            if task in known:
                found.append(replace(known[task], reason=f"measured again in {name}"))
            known[task] = measured
    for run, known in runs.items():
        for benchmark, metric in BENCHMARKS.items():
            parts = [known[task] for task in metric.tasks if task in known]
            if parts and len(parts) < len(metric.tasks):
                reason = f"{len(parts)} of its {len(metric.tasks)} tasks were measured"
                found.append(Measurement(run, benchmark, Measurement.mean(benchmark, parts).files, reason=reason))
            elif parts:
                found.append(Measurement.mean(benchmark, parts))
    return found


def _described(path: Path, folder: Path) -> dict[str, Any]:
    """The nearest ``vidfold.json`` up to this folder, and the ``row.json`` beside it as "row"; empty without one."""
    for parent in path.parents:
        if (parent / SUMMARY).is_file():
            row = parent / ROW
            told = load_object(parent / SUMMARY, "method")
            return told | {"row": load_object(row) if row.is_file() else {}}
        if parent == folder:
            break
    return {}


def _run(config: Mapping[str, Any], told: Mapping[str, Any]) -> Run | str:
    """The run of results, by their ``config`` and the contents of ``vidfold.json``; or why it cannot be compared."""
    for name, every in (("limit", (None, -1)), ("offset", (None, 0))):
        if config.get(name) not in every:
            return f"not all questions were asked ({name} {config[name]})"
    if config.get("model", "vidfold") != "vidfold":
        return f"measured by the model {config['model']!r} of lmms-eval, not by vidfold's"
    given = config.get("model_args")
    try:
        settings = Settings.of(**(given if isinstance(given, dict) else split(str(given or ""))))
    except (ValueError, TypeError) as error:
        return f"its settings are not known: {error}"
    if not told or not _agrees(told, settings):
        return f"no {SUMMARY} of its settings is in its folder or above"
    retention = _kept(told) if settings.retention is None else settings.retention
    return Run(
        pretrained=settings.pretrained,
        method=settings.method["name"],
        described=described(settings.reducer) if settings.reducer else settings.method["name"],
        retention=1.0 if isinstance(settings.reducer, InnerReducer) else retention,
        frames=settings.frames or told["sampling"]["frames"],
        config_hash=str(told.get("config_hash", "")),
        errors=int(told.get("errors", 0)),
        published=told["row"].get("published"),
        row=str(told["row"].get("row", "")),
    )


def _agrees(told: Mapping[str, Any], settings: Settings) -> bool:
    """Whether the ``vidfold.json`` does not contradict the settings; another version may have other fields."""
    asked = {name: getattr(settings, name) for name in ("pretrained", "frames", "retention")}
    pairs = ((told, asked), (told["method"], settings.method))
    return all(there.get(name, value) == value for there, own in pairs for name, value in own.items())


def _measured(run: Run, task: str, values: Mapping[str, Any], kept: float | None, file: str) -> Measurement:
    """The value of a task, or the reason why there is none."""
    if task not in _OF_TASK:
        return Measurement(run, task, (file,), reason="no published column has this task")
    metric = _OF_TASK[task]
    value = metric.percent * _value(values, metric.name)
    if math.isnan(value):
        return Measurement(run, task, (file,), reason=f"no score: {metric.name} is not a number")
    # lmms-eval computes both errors from scores of 0 and 1, in any unit of the metric.
    errors = [100 * _value(values, f"{metric.name}_stderr_{kind}") for kind in ("clustered", "clt")]
    asked = values.get("samples")
    if isinstance(asked, int) and asked > 1:
        errors.append(math.sqrt(value * (100 - value) / (asked - 1)))
    error = next((error for error in errors if not math.isnan(error)), math.nan)
    return Measurement(run, task, (file,), value, error, kept)


def _value(values: Mapping[str, Any], metric: str) -> float:
    """A metric's value, with several filters that of the first; NaN if it is no finite number."""
    found = next((value for name, value in values.items() if name.partition(",")[0] == metric), None)
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        return math.nan
    return float(found)


def _kept(told: Mapping[str, Any]) -> float | None:
    """The mean share of tokens kept, in ``vidfold.json`` or one of its tasks."""
    mean: float | None = told.get("tokens", {}).get("kept", {}).get("mean")
    return mean
