"""The settings of lmms-eval results, read from the ``vidfold.json`` of their run.

From lmms-eval's ``RUN_results.json`` these are read: ``results`` and, in ``config``, ``model``, ``model_args``,
``limit`` and ``offset``. From the ``vidfold.json`` of vidfold's model for lmms-eval (only ``method`` is required):

- ``method``: an object with the ``name`` of the method and its fields; "none" is unfolded,
- ``retention``: as asked for, or as a table lists the run,
- ``tokens.kept.mean``: share of a video's tokens that were kept; ``tasks.TASK.tokens.kept.mean`` the same for a task,
- ``frames`` of a video, and ``pretrained``, the checkpoint,
- ``config_hash``, which identifies the configuration,
- ``errors``: number of samples whose video could not be read.

``row.json`` beside it, which ``vidfold reproduce`` writes, may hold ``published``, the method's name in the published
table, and ``row``, the name of the row that the run is or, where settings differ by benchmark, is a part of.

Results belong to a ``vidfold.json`` that does not contradict their ``model_args``. These places are tried in turn: a
``RUN_vidfold.json`` of the same run, the folder that ``record`` of ``model_args`` names, their own folder, the nearest
folder above, folders below.
"""

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidfold.app.parsing import literal
from vidfold.evaluation.settings import Settings, split
from vidfold.reducers import METHODS, InnerReducer

RESULTS, DESCRIPTION, ROW = "_results.json", "vidfold.json", "row.json"
"""Names of files, or their ends: results of lmms-eval, settings of vidfold, and the row of ``vidfold reproduce``."""
MODEL = "vidfold"
"""Name of vidfold's model in lmms-eval."""

_BELOW = 1_000_000


@dataclass(frozen=True)
class Run:
    """The settings of one configuration.

    Attributes:
        pretrained: the checkpoint, or empty.
        method: its name.
        fields: the method's retention and its fields other than their defaults, as text.
        retention: share of the tokens that was asked for, else the measured mean; None if neither is known.
        frames: of a video, or None.
        config_hash: identifies the configuration, or empty.
        errors: samples whose video could not be read.
        published: the method's name in published tables; None if it follows from `method`, empty if it has none.
        row: of `vidfold reproduce`, or empty.
    """

    pretrained: str
    method: str
    fields: str
    retention: float | None
    frames: int | None
    config_hash: str
    errors: int
    published: str | None
    row: str


def load_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        ValueError: no JSON object, or one without the fields that files of its name have.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{str(path)!r} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{str(path)!r} holds no JSON object: neither lmms-eval nor vidfold wrote it")
    for end, name in ((RESULTS, "results"), (DESCRIPTION, "method")):
        if path.name.endswith(end) and not isinstance(content.get(name), dict):
            raise ValueError(f"{str(path)!r} has no object {name!r}: neither lmms-eval nor vidfold wrote it")
    return content


def descriptions(folder: Path) -> dict[Path, dict[str, Any]]:
    """Every ``vidfold.json`` under a folder, with the contents of a ``row.json`` beside it."""
    found = {}
    for path in sorted(folder.rglob(f"*{DESCRIPTION}")):
        found[path] = load_object(path)
        if (row := path.with_name(ROW)).is_file():
            found[path]["row"] = load_object(row)
    return found


def own_description(
    path: Path, content: Mapping[str, Any], known: Mapping[Path, dict[str, Any]]
) -> dict[str, Any] | str:
    """The settings of results, or why they cannot be compared.

    Args:
        path: of the results.
        content: the results.
        known: every ``vidfold.json``.
    """
    config = content.get("config") or {}
    for name, every in (("limit", (None, -1)), ("offset", (None, 0))):
        if config.get(name) not in every:
            return f"not all questions were asked ({name} {config[name]})"
    if config.get("model", MODEL) != MODEL:
        return f"measured by the model {config['model']!r} of lmms-eval, not by vidfold's"
    given = config.get("model_args")
    arguments = dict(given) if isinstance(given, Mapping) else split(str(given or ""))
    asked, record = _asked(arguments), literal(arguments.get("record"))
    near: dict[int, list[dict[str, Any]]] = {}
    for each, description in known.items():
        rank = _distance(each, path, record)
        if rank is not None and asked is not None and _agrees(description, asked):
            near.setdefault(rank, []).append(description)
    if not near:
        return f"no {DESCRIPTION} near it agrees with its settings, so they are not known"
    nearest = near[min(near)]
    if len({run_of(each) for each in nearest}) > 1:
        return f"several {DESCRIPTION} could be its own"
    return nearest[0]


def run_of(description: Mapping[str, Any]) -> Run:
    """The settings in a ``vidfold.json``."""
    given, row = dict(description["method"]), description.get("row", {})
    name = str(given.pop("name", ""))
    method = METHODS.get(name)
    retention = description.get("retention")
    if retention is None:
        retention = description.get("tokens", {}).get("kept", {}).get("mean")
    if method is not None and issubclass(method, InnerReducer):
        retention = 1.0
    default = json.loads(json.dumps(dataclasses.asdict(method()), default=repr)) if method else {}
    fields = (f"{key}={value}" for key, value in given.items() if key == "retention" or value != default.get(key))
    return Run(
        pretrained=str(description.get("pretrained") or ""),
        method=name,
        fields=", ".join(fields),
        retention=retention,
        frames=description.get("frames"),
        config_hash=str(description.get("config_hash") or ""),
        errors=int(description.get("errors") or 0),
        published=row.get("published"),
        # Parts of a row add their benchmarks to its name, behind the retention.
        row=re.sub(r"(?<=@\d\.\d\d)-.*", "", str(row.get("row") or "")),
    )


def _distance(path: Path, results: Path, record: object) -> int | None:
    """How far a ``vidfold.json`` is from results; None if it does not belong to them."""
    if path.name != DESCRIPTION:
        return 0 if path.name == results.name.removesuffix(RESULTS) + f"_{DESCRIPTION}" else None
    if record and Path(str(record)).name == path.parent.name:
        return 1
    if path.parent in results.parents:
        return 2 + list(results.parents).index(path.parent)
    return _BELOW if results.parent in path.parents else None


def _asked(arguments: Mapping[str, Any]) -> Settings | None:
    """The settings of arguments and defaults; None if this version does not know them."""
    try:
        return Settings.of(**arguments)
    except (ValueError, TypeError):
        return None


def _agrees(description: Mapping[str, Any], asked: Settings) -> bool:
    """Whether the description does not contradict the settings that were asked for."""
    told = {name: description[name] for name in ("pretrained", "frames", "retention") if name in description}
    # Another version of a method may have other fields.
    method = description["method"]
    return all(value == getattr(asked, name) for name, value in told.items()) and all(
        method[name] == value for name, value in asked.method.items() if name in method
    )
