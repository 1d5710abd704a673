"""``vidfold batch``: questions about many videos, one row for each, whatever fails meanwhile."""

import argparse
import contextlib
import json
import sys
import time
from typing import TYPE_CHECKING

from vidfold.app.progress import say
from vidfold.app.tables import table
from vidfold.cli.options import Commands, add_method, add_model, command, reducer

if TYPE_CHECKING:
    from vidfold.batch import Tally

ON_TERMINAL, ELSEWHERE = 0.5, 60.0
"""Seconds between two reports of progress."""
REASONS = 5
"""Reasons of errors that are told."""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = command(commands, "batch", run, "Ask about many videos; a run that was ended goes on where it was.")
    parser.add_argument(
        "input",
        nargs="*",
        help="files, folders, patterns, addresses (s3://, gs://, hf://, https://), or tables (.csv, .jsonl, .parquet) "
        "with a column path and, where wanted, question, id, start, end",
    )
    asked = parser.add_mutually_exclusive_group()
    asked.add_argument("--question", action="append", default=[], help="about every video; may be given again")
    asked.add_argument("--questions", metavar="FILE", help="a file with a question in each line")
    parser.add_argument("--output", metavar="DIR", help="folder of Parquet files that rows are written to")
    parser.add_argument("--status", metavar="DIR", help="say what an output folder holds, and do nothing else")
    parser.add_argument("--retry-errors", action="store_true", help="ask again where the row has an error")
    parser.add_argument("--json", action="store_true", help="print all rows at the end, a JSON object in each line")
    add_method(parser)
    parser.add_argument("--frames", type=int, help="frames of a video (default: as 'vidfold ask')")
    parser.add_argument("--choose", default="even", metavar="HOW", help="which frames: even, scenes, novel")
    parser.add_argument("--max-new-tokens", type=int, default=64, help="length of an answer at most (default: 64)")
    add_model(parser)
    pace = parser.add_argument_group("how fast, and what is done about failures")
    pace.add_argument("--workers", type=int, default=1, help="processes with a model each (default: 1)")
    pace.add_argument("--decoders", type=int, help="processes of a worker that decode (default: its cores, at most 8)")
    pace.add_argument("--batch-size", type=int, default=4, help="videos in a call of the model, at most (default: 4)")
    pace.add_argument("--timeout", type=float, default=600.0, help="seconds to decode a video, at most (default: 600)")
    pace.add_argument("--retries", type=int, default=2, help="tries after one that ended a process (default: 2)")
    pace.add_argument("--engine", choices=("local", "ray"), default="local", help="where workers run (default: local)")
    pace.add_argument("--address", help="of a Ray cluster, such as auto or host:6379 (default: one on this machine)")
    pace.add_argument("--gpus", type=float, help="share of a GPU for each worker on a Ray cluster (default: 1)")


def run(options: argparse.Namespace) -> None:
    """Answer all, and print what was done."""
    from vidfold import batch
    from vidfold.batch.tasks import read_questions

    if options.status is not None:
        print(json.dumps(batch.status(options.status), indent=2) if options.json else table(_facts(options.status)))
        return
    if not options.input:
        raise ValueError("give videos: files, folders, patterns, addresses or a table")
    if not options.output:
        raise ValueError("give --output, a folder to write rows to")
    questions = options.question if options.questions is None else read_questions(options.questions)
    settings = batch.Settings(
        model=options.model,
        reducer=reducer(options),
        frames=options.frames,
        choose=options.choose,
        max_new_tokens=options.max_new_tokens,
        dtype=options.dtype,
        attention=options.attn,
        quantization=options.quantization,
        trust_remote_code=options.trust_remote_code,
    )
    resources = batch.Resources(
        workers=options.workers,
        decoders=options.decoders,
        batch_size=options.batch_size,
        device=options.device,
        gpus=options.gpus,
        timeout=options.timeout,
        retries=options.retries,
    )
    with contextlib.redirect_stdout(sys.stderr):  # Ray prints what happens to its processes
        tally = batch.run(
            options.input,
            questions,
            output=options.output,
            settings=settings,
            resources=resources,
            engine=options.engine,
            address=options.address,
            retry_errors=options.retry_errors,
            watch=_Line(),
        )
    if options.json:
        for row in batch.rows_of(options.output):
            print(json.dumps(row))
        return
    print(table([*_told(tally), *_facts(options.output)]))


class _Line:
    """Shows how far a run is: on a terminal in one line, elsewhere in a line a minute."""

    def __init__(self) -> None:
        self._on_terminal = sys.stderr.isatty()
        self._next = time.monotonic() + (0 if self._on_terminal else ELSEWHERE)

    def __call__(self, tally: "Tally") -> None:
        if time.monotonic() < self._next and not (self._on_terminal and tally.done == tally.total):
            return
        self._next = time.monotonic() + (ON_TERMINAL if self._on_terminal else ELSEWHERE)
        if not self._on_terminal:
            say(f"{tally}\n")
        else:
            say(f"\r\033[K{'' if tally.done == tally.total else tally}")


def _told(tally: "Tally") -> list[tuple[str, str]]:
    if not tally.rows:
        return [("new", "no row: all were there")]
    share = f", {100 * tally.tokens_after / tally.tokens_before:.1f} % of the tokens" if tally.tokens_before else ""
    use = ", ".join(f"{stage} {100 * part:.0f} %" for stage, part in tally.use.items())
    told = [
        ("new", f"{tally.rows} rows in {tally.elapsed:.1f} s, {tally.rate:.3g} a second{share}"),
        ("busy", f"{use} of the time"),
    ]
    return [*told, ("restarts", f"{tally.restarts} workers")] if tally.restarts else told


def _facts(output: str) -> list[tuple[str, str]]:
    from vidfold.batch import status

    found = status(output)
    wanted = "" if found["wanted"] is None else f" of {found['wanted']} wanted"
    rows = [
        ("rows", f"{found['rows']}{wanted}, {found['errors']} with an error"),
        *[("error", f"{count} x {reason}") for reason, count in list(found["reasons"].items())[:REASONS]],
        ("output", f"{output}, {found['parts']} parts"),
    ]
    return [*rows, ("running", "a process writes to it now")] if found["running"] else rows
