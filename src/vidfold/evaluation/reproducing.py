"""Run the rows of a recipe, one command each; an interrupted run continues where it ended."""

import importlib.util
import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from vidfold import extras
from vidfold.evaluation.described import ROW
from vidfold.evaluation.plan import Plan, Row
from vidfold.evaluation.records import SUMMARY, write

LOG = "log.txt"
_COLOR = re.compile(r"\x1b\[[0-9;]*m")
_ERROR = re.compile(r"^vidfold: (.*)|Error during evaluation: (.*?)(?:\. Please set .*)?$|^(\w*Error: .*)")


def reproduce(plan: Plan, tell: Callable[[str], None], watch: Callable[[str, int], None]) -> None:
    """Run the rows that are not done.

    Args:
        plan: what to run.
        tell: called with a line at the beginning and at the end of every row.
        watch: called with a row's id and its number of samples so far, every second.

    Raises:
        ValueError: a row that ended without results; the message is the last error it printed.
        MissingExtra: lmms-eval is not installed.
    """
    for row in plan.rows:
        plan.settings(row)
    if not plan.recipe.bench and importlib.util.find_spec("lmms_eval") is None:
        raise extras.MissingExtra("lmms_eval is not installed: pip install 'vidfold[eval]'")
    for number, row in enumerate(plan.rows, 1):
        place = f"{number}/{len(plan.rows)} {row.id}"
        if not plan.chosen(row) and not plan.recipe.bench:
            tell(f"{place}: none of its benchmarks was asked for")
            continue
        if plan.done(row):
            tell(f"{place}: done before, {outcome(plan.folder(row))}")
            continue
        tell(f"{place}: {shlex.join(plan.command(row))}")
        if row.note:
            tell(f"{place}: {row.note}")
        begun = time.monotonic()
        _run(plan, row, watch)
        tell(f"{place}: {time.monotonic() - begun:.0f} s, {outcome(plan.folder(row))}")


def outcome(folder: Path) -> str:
    """Scores and tokens of a row in words."""
    results = _latest(folder)
    if results is None:
        return f"results in {folder}"
    tables = json.loads(results.read_text(encoding="utf-8"))["results"]
    scores = [
        f"{task} {value:.4g}"
        for task, metrics in tables.items()
        for metric, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and _is_score(metric)
    ]
    told = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    tokens = told["tokens"]
    if told["errors"]:
        scores.append(f"{told['errors']} samples skipped")
    if tokens["before"]:
        share = 100 * tokens["kept"]["mean"]
        scores.append(f"tokens {tokens['before']:.0f} -> {tokens['after']:.0f} ({share:.1f} %)")
    return ", ".join(scores)


def _is_score(metric: str) -> bool:
    """Whether a metric of lmms-eval's results is a score, not a standard error or a measure of stability."""
    return "," in metric and not any(word in metric for word in ("stderr", "expected", "consensus", "internal"))


def _run(plan: Plan, row: Row, watch: Callable[[str, int], None]) -> None:
    folder, command = plan.folder(row), plan.command(row)
    folder.mkdir(parents=True, exist_ok=True)
    before = _latest(folder)
    # The shown command is looked up on the path; the one that is run uses this interpreter.
    modules = {"lmms-eval": "lmms_eval", "accelerate": "accelerate.commands.accelerate_cli", "vidfold": "vidfold"}
    started = [sys.executable, "-m", modules[command[0]], *command[1:]]
    with (folder / LOG).open("a+", encoding="utf-8", errors="replace") as log:
        begin = log.tell()
        process = subprocess.Popen(started, stdout=log, stderr=subprocess.STDOUT)
        try:
            while True:
                try:
                    code = process.wait(1.0)
                    break
                except subprocess.TimeoutExpired:
                    watch(row.id, _count(folder))
        except BaseException:
            process.terminate()
            process.wait()
            raise
        log.seek(begin)
        text = log.read()
    # lmms-eval exits with 0 after most errors: only new results show that it succeeded.
    if code or (not plan.recipe.bench and (_latest(folder) == before or not _is_of(folder, plan.settings(row).hash))):
        raise ValueError(f"row {row.id}: {_reason(text, code)}; its output is in {str(folder / LOG)!r}")
    write(folder / ROW, {"row": row.id, "published": row.published, "hash": plan.hash(row), "command": command})


def _latest(folder: Path) -> Path | None:
    """The newest results that lmms-eval wrote."""
    return max(folder.glob("**/*_results.json"), key=lambda path: path.stat().st_mtime_ns, default=None)


def _is_of(folder: Path, config: str) -> bool:
    path = folder / SUMMARY
    found: bool = path.is_file() and json.loads(path.read_text(encoding="utf-8"))["config_hash"] == config
    return found


def _count(folder: Path) -> int:
    """Number of recorded samples, one per line."""
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("samples.rank*.jsonl"))


def _reason(text: str, code: int) -> str:
    """The last error in the output of a command."""
    found = [match for line in text.split("\n") if (match := _ERROR.search(_COLOR.sub("", line).strip()))]
    if found:
        return next(group for group in found[-1].groups() if group)
    return f"ended with status {code} and no results"
