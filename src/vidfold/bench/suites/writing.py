"""A complete suite: measure, and write table, Markdown and pictures to one folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vidfold import extras
from vidfold.app.loading import VideoModel
from vidfold.app.writing import write_text
from vidfold.bench.suites.cases import Read
from vidfold.bench.suites.drawing import draw
from vidfold.bench.suites.panel import Watcher
from vidfold.bench.suites.plan import Plan
from vidfold.bench.suites.report import markdown, overview
from vidfold.bench.suites.running import COUNTS, FILE, run

MARKDOWN = "suite.md"


def write_suite(
    plan: Plan,
    output: str | Path,
    *,
    device: str | None = None,
    models: Mapping[Read, VideoModel] | None = None,
    watch: Watcher | None = None,
) -> str:
    """Measure with `vidfold.bench.suites.run`, and write the results to ``output``.

    Returns:
        The table for a terminal, and the files written.

    Raises:
        ValueError: as `vidfold.bench.suites.run` does.
        MissingExtra: matplotlib is not installed; nothing was measured.
    """
    extras.load("matplotlib", "bench")
    results = run(plan, output, device=device, models=models, watch=watch)
    folder = Path(output)
    write_text(folder / MARKDOWN, markdown(results))
    files = [folder / FILE, folder / COUNTS, folder / MARKDOWN, *draw(results, folder)]
    return "\n\n".join([overview(results), "wrote " + ", ".join(map(str, files))])
