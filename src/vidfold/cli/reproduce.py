"""``vidfold reproduce``: the tables of the papers, one command per row."""

import argparse
import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vidfold.app.tables import table
from vidfold.cli.options import Commands, command, pairs

if TYPE_CHECKING:
    from vidfold.evaluation.plan import Recipe


def add(commands: Commands) -> None:
    """Add the command."""
    parser = command(
        commands,
        "reproduce",
        run,
        "Run the rows of a table with lmms-eval, or print their commands; finished rows are not run again.",
    )
    parser.add_argument(
        "table", help="1 (LLaVA-OneVision), 2 (LLaVA-Video), 3 (ablations) or 4 (times); also table1 to table4"
    )
    parser.add_argument("--rows", nargs="+", default=[], metavar="ROW", help="such as aot or aot@0.10 (default: all)")
    parser.add_argument("--list", action="store_true", help="list the rows, and the rows that no command fills")
    parser.add_argument("--dry-run", action="store_true", help="print one command per row, to be run by hand")
    parser.add_argument("--limit", type=int, help="samples of each task, for a quick trial")
    parser.add_argument("--output", default="out/reproduce", metavar="DIR", help="folder (default: out/reproduce)")
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="model arguments to change in all rows, such as pretrained=tiny or on_error=skip",
    )
    parser.add_argument(
        "--tasks",
        nargs="+",
        metavar="[BENCHMARK=]TASK",
        help="benchmarks of the table, tasks in their place, or other tasks of lmms-eval (default: the table's)",
    )
    parser.add_argument("--include-path", type=Path, metavar="DIR", help="folder of more tasks for lmms-eval")
    parser.add_argument("--batch-size", type=int, default=1, help="requests per call (default: 1)")
    parser.add_argument("--processes", type=int, default=1, help="one GPU each, started by accelerate (default: 1)")


def run(options: argparse.Namespace) -> None:
    """Run or print the rows."""
    from vidfold.checks import check_count
    from vidfold.evaluation.plan import jobs, read
    from vidfold.evaluation.reproducing import reproduce

    for name in ("limit", "batch_size", "processes"):
        if getattr(options, name) is not None:
            check_count(name, getattr(options, name))
    recipe = read(options.table)
    if options.list:
        _show(recipe)
        return
    if options.include_path is not None and not options.include_path.is_dir():
        raise ValueError(f"--include-path must be a folder of tasks, got {str(options.include_path)!r}")
    planned = jobs(
        recipe,
        recipe.select(options.rows),
        Path(options.output),
        changes=pairs("--set", options.set, "pretrained=tiny"),
        tasks=None if options.tasks is None else _tasks(options.tasks, recipe),
        processes=options.processes,
        batch_size=options.batch_size,
        limit=options.limit,
        include_path=options.include_path,
    )
    if options.dry_run:
        for job in planned:
            print(shlex.join(job.command) + (f"  # {job.row.note}" if job.row.note else ""))
        return
    reproduce(planned, tell=partial(print, flush=True))


def _show(recipe: "Recipe") -> None:
    print(f"{recipe.title}\n")
    rows = [("row", "published as", "note")]
    rows += [(row.id, row.published or "-", row.note or "-") for row in recipe.rows]
    print(table(rows))
    if recipe.left_out:
        print("\nleft out\n" + table([(name, reason) for name, reason in recipe.left_out.items()]))


def _tasks(given: list[str], recipe: "Recipe") -> dict[str, str]:
    tasks = {}
    for each in given:
        name, equals, task = each.partition("=")
        if equals and not task:
            raise ValueError(f"--tasks takes TASK or BENCHMARK=TASK, got {each!r}")
        if equals and name not in recipe.benchmarks:
            raise ValueError(f"{recipe.name} has no benchmark {name!r}; it has: {', '.join(recipe.benchmarks)}")
        tasks[name] = task if equals else recipe.benchmarks.get(name, name)
    return tasks
