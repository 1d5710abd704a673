"""A complete bench: measure, and write table, Markdown and pictures to one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vidfold import extras
from vidfold.app.loading import VideoModel
from vidfold.app.writing import write_text
from vidfold.bench.pictures import draw
from vidfold.bench.quality import FILE, Watcher, quality
from vidfold.bench.report import markdown, overview
from vidfold.bench.sources import Source

MARKDOWN = "quality.md"


def write_quality(
    methods: Sequence[str],
    retentions: Sequence[float],
    clips: int | Sequence[Source],
    output: str | Path,
    *,
    models: Sequence[VideoModel] = (),
    seed: int = 0,
    watch: Watcher | None = None,
) -> str:
    """Measure with `vidfold.bench.quality`, and write ``quality.csv``, ``quality.md`` and pictures to ``output``.

    Returns:
        The table for a terminal, and the files written.

    Raises:
        ValueError: as `vidfold.bench.quality` does.
        MissingExtra: matplotlib is not installed; nothing was measured.
    """
    extras.load("matplotlib", "bench")
    rows = quality(methods, retentions, clips, output, models=models, seed=seed, watch=watch)
    folder = Path(output)
    write_text(folder / MARKDOWN, markdown(rows))
    files = [folder / FILE, folder / MARKDOWN, *draw(rows, folder)]
    return "\n\n".join([overview(rows), "wrote " + ", ".join(map(str, files))])
