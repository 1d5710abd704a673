"""Run the rows of a recipe, one command each; an interrupted run continues where it ended."""

import importlib.util
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from vidfold import extras
from vidfold.evaluation.plan import BENCH, Job
from vidfold.evaluation.records import ROW, SUMMARY, load_object, write_object

LOG = "log.txt"
_MODULES = {"lmms-eval": "lmms_eval", "accelerate": "accelerate.commands.accelerate_cli", BENCH: "vidfold"}
_COLOR = re.compile(r"\x1b\[[0-9;]*m")
_ERROR = re.compile(r"^vidfold: (.*)|Error during evaluation: (.*?)(?:\. Please set .*)?$|^(\w*Error: .*)")


def reproduce(jobs: Sequence[Job], tell: Callable[[str], None]) -> None:
    """Run the jobs that are not done.

    Args:
        jobs: what to run.
        tell: called with a line at the beginning and at the end of every job.

    Raises:
        ValueError: a job that ended without results; the message is the last error it printed.
        MissingExtra: lmms-eval is not installed.
    """
    if any(job.command[0] != BENCH for job in jobs) and importlib.util.find_spec("lmms_eval") is None:
        raise extras.MissingExtra(f"lmms_eval is not installed: {extras.remedy('eval')}")
    for number, job in enumerate(jobs, 1):
        place, done = f"{number}/{len(jobs)} {job.row.id}", job.folder / ROW
        if done.is_file() and load_object(done).get("hash") == job.hash:
            tell(f"{place}: done before, {_outcome(job.folder)}")
            continue
        tell(f"{place}: {shlex.join(job.command)}")
        if job.row.note:
            tell(f"{place}: {job.row.note}")
        begun = time.monotonic()
        _run(job)
        told = {"row": job.row.at, "published": job.row.published, "hash": job.hash, "command": job.command}
        write_object(done, told)
        tell(f"{place}: {time.monotonic() - begun:.0f} s, {_outcome(job.folder)}")


def _run(job: Job) -> None:
    folder, command = job.folder, job.command
    folder.mkdir(parents=True, exist_ok=True)
    before = _latest(folder)
    # The shown command is looked up on the path; the one that is run uses this interpreter.
    started = [sys.executable, "-m", _MODULES[command[0]], *command[1:]]
    with (folder / LOG).open("a+", encoding="utf-8", errors="replace") as log:
        begin = log.tell()
        code = subprocess.run(started, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
        log.seek(begin)
        text = log.read()
    # lmms-eval exits with 0 after most errors: only new results show that it succeeded.
    if code or (command[0] != BENCH and _latest(folder) == before):
        raise ValueError(f"row {job.row.id}: {_reason(text, code)}; its output is in {str(folder / LOG)!r}")


def _latest(folder: Path) -> Path | None:
    """The newest results that lmms-eval wrote."""
    return max(folder.glob("**/*_results.json"), key=lambda path: path.stat().st_mtime_ns, default=None)


def _reason(text: str, code: int) -> str:
    """The last error in the output of a command."""
    found = [match for line in text.split("\n") if (match := _ERROR.search(_COLOR.sub("", line).strip()))]
    if found:
        return next(group for group in found[-1].groups() if group)
    return f"ended with status {code} and no results"


def _outcome(folder: Path) -> str:
    """Where the results are, and the tokens of a row."""
    said = f"results in {folder}"
    if (folder / SUMMARY).is_file():  # it is elsewhere with an own folder for the record
        told = load_object(folder / SUMMARY, "tokens")
        tokens = told["tokens"]
        said += f", {told['errors']} samples skipped" if told["errors"] else ""
        if tokens["before"]:
            share = 100 * tokens["kept"]["mean"]
            said += f", tokens {tokens['before']:.0f} -> {tokens['after']:.0f} ({share:.1f} %)"
    return said
