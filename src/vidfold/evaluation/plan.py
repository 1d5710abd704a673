"""Rows of the papers' tables as commands: recipes, as YAML files in ``recipes/``, and how they are run.

A recipe has ``title``, ``model_args`` of all rows, ``benchmarks`` (name in the table -> task of lmms-eval) or ``bench``
(a bench of vidfold instead of lmms-eval), ``rows``, and ``left_out``: rows without a command, and why. A row has:

- ``name``, ``published`` (the method's name in the published table), ``method`` of vidfold, and its own ``model_args``;
- ``fields`` of the method or of the run;
- ``at``, the shares of the tokens: a list, with one run each; or a list of parts for each share, which have their own
  fields and, if settings differ by benchmark, ``benchmarks``;
- ``note``, of a row or a part: which of its settings are guessed because they were not published, or how it differs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidfold import extras
from vidfold.checks import check_known
from vidfold.evaluation.settings import Settings, digest, written
from vidfold.reducers import METHODS

BENCH = "vidfold"
"""The program of a job that is a bench, and not lmms-eval."""
_FOLDER = Path(__file__).parent / "recipes"
_OPTIONS = {"pretrained": "model", "attention": "attn"} | {
    name: name for name in ("dtype", "device", "frames", "method", "retention")
}
"""Argument of a row -> option of ``vidfold bench``."""


@dataclass(frozen=True)
class Row:
    """One run: a row of the table at one share of the tokens, or a part of it.

    Attributes:
        name: of the row, such as "aot".
        at: name and share, such as "aot@0.10"; the parts of a row have it in common.
        published: the method's name in the published table, or "".
        arguments: `Settings.of` takes them.
        benchmarks: names of those a part is run on; empty: all.
        note: which settings are guessed, or how it differs from the published row, or "".
    """

    name: str
    at: str
    published: str
    arguments: Mapping[str, Any]
    benchmarks: tuple[str, ...]
    note: str

    @property
    def id(self) -> str:
        """Identifies the run in its recipe; also the name of its folder."""
        return "-".join([self.at, *self.benchmarks])


@dataclass(frozen=True)
class Recipe:
    """One table.

    Attributes:
        name: of the table.
        title: of the table.
        bench: the bench of vidfold that measures it; "" for lmms-eval.
        rows: in the order of the file.
        benchmarks: name in the table -> task of lmms-eval.
        left_out: rows without a command -> why.
    """

    name: str
    title: str
    bench: str
    rows: tuple[Row, ...]
    benchmarks: Mapping[str, str]
    left_out: Mapping[str, str]

    def select(self, wanted: Sequence[str]) -> tuple[Row, ...]:
        """The rows with one of these as `Row.name`, `Row.at` or `Row.id`, in the order of the table; for none, all.

        Raises:
            ValueError: there is no such row.
        """
        names = list(dict.fromkeys(row.name for row in self.rows))
        known = [name for row in self.rows for name in (row.name, row.at, row.id)]
        for name in wanted:
            check_known(f"{self.name} has no row", name, known, listed=names)
        return tuple(row for row in self.rows if not wanted or {row.name, row.at, row.id} & set(wanted))


@dataclass(frozen=True)
class Job:
    """A command that measures a row.

    Attributes:
        row: of the recipe.
        folder: of its results.
        command: as it would be typed.
        hash: identifies what it runs: settings, tasks and limit.
    """

    row: Row
    folder: Path
    command: list[str]
    hash: str


def jobs(
    recipe: Recipe,
    rows: Sequence[Row],
    output: Path,
    *,
    changes: Mapping[str, Any],
    tasks: Mapping[str, str] | None = None,
    processes: int = 1,
    **options: object,
) -> list[Job]:
    """The jobs of the rows that have a task.

    Args:
        recipe: of the table.
        rows: of the recipe.
        output: folder, with one folder for each row.
        changes: arguments that replace those of all rows.
        tasks: benchmark -> task that replaces the recipe's; None is the recipe's. Other names are tasks of their own,
            run for every row.
        processes: number of processes that share the samples; accelerate starts them if there are several.
        options: of lmms-eval; None is its default.

    Raises:
        ValueError: a change that a row's method refuses.
    """
    found = []
    for row in rows:
        arguments, folder = {**row.arguments, **changes}, output / recipe.name / row.id
        try:
            settings = Settings.of(**arguments)
        except ValueError as error:
            raise ValueError(f"row {row.id}: {error}") from error
        mine, known = row.benchmarks or tuple(recipe.benchmarks), recipe.benchmarks
        chosen = (known if tasks is None else tasks).items()
        asked = [task for name, task in chosen if name in mine or name not in known]
        if recipe.bench:
            command = [BENCH, "bench", recipe.bench, *_bench_options(arguments), "--output", str(folder)]
        elif asked:
            command = ["lmms-eval"]
            if processes > 1:
                command = ["accelerate", "launch", "--num_processes", str(processes), "-m", "lmms_eval"]
            command += ["--model", "vidfold", "--model_args", written(arguments), "--tasks", ",".join(asked)]
            command += ["--output_path", str(folder), "--log_samples"]
            for name, value in options.items():
                command += [] if value is None else [f"--{name}", str(value)]
        else:
            continue
        digits = digest([settings.hash, recipe.bench, asked, options.get("limit")])
        found.append(Job(row, folder, command, digits))
    return found


def _bench_options(arguments: Mapping[str, Any]) -> list[str]:
    named = {name: option for name, option in _OPTIONS.items() if name in arguments}
    found = [text for name, option in named.items() for text in (f"--{option}", str(arguments[name]))]
    others = (f"{name}={value}" for name, value in arguments.items() if name not in named)
    return found + [text for other in others for text in ("--set", other)]


def names() -> tuple[str, ...]:
    """Names of all recipes."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def read(name: str) -> Recipe:
    """The recipe of a table; "1" is "table1".

    Raises:
        ValueError: there is none of that name.
        MissingExtra: PyYAML is not installed.
    """
    name = f"table{name}" if name.isdecimal() else name
    if name not in names():
        raise ValueError(f"no recipe for {name!r}; there are: {', '.join(names())}")
    return parse(name, (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


def parse(name: str, text: str) -> Recipe:
    """A recipe from the text of its file; every row is checked.

    Raises:
        ValueError: a row with a field that is not there or a value that is refused.
    """
    content: dict[str, Any] = extras.load("yaml", "eval").safe_load(text)
    shared = content.get("model_args", {})
    rows = tuple(run for row in content["rows"] for run in _runs(row, shared))
    if len({row.id for row in rows}) < len(rows):
        raise ValueError(f"{name} has two rows of the same name: {', '.join(row.id for row in rows)}")
    for row in rows:
        Settings.of(**row.arguments)
    optional = (content.get(part, {}) for part in ("benchmarks", "left_out"))
    return Recipe(name, content["title"], content.get("bench", ""), rows, *optional)


def _runs(row: Mapping[str, Any], shared: Mapping[str, Any]) -> Iterator[Row]:
    arguments = {**shared, **row.get("model_args", {}), "method": row["method"], **row.get("fields", {})}
    at = row.get("at", {None: [{}]})
    parts_at: dict[float | None, list[dict[str, Any]]] = at if isinstance(at, dict) else {each: [{}] for each in at}
    has_retention = row["method"] in METHODS and "retention" in METHODS[row["method"]].__dataclass_fields__
    for share, parts in parts_at.items():
        asked = {} if share is None else {"retention" if has_retention else "nominal": share}
        for part in parts:
            yield Row(
                name=row["name"],
                at=row["name"] if share is None else f"{row['name']}@{share:.2f}",
                published=row.get("published", ""),
                arguments=arguments | asked | {name: part[name] for name in part if name not in ("benchmarks", "note")},
                benchmarks=tuple(part.get("benchmarks", ())),
                note=part.get("note", row.get("note", "")),
            )
