"""Write a run: all samples as JSON, tables as Markdown."""

from __future__ import annotations

import json
from pathlib import Path

from vidfold.app.writing import write_text
from vidfold.bench.speed.report import markdown
from vidfold.bench.speed.results import Results

SAMPLES, TABLES = "speed.json", "speed.md"


def write(results: Results, folder: str | Path) -> list[Path]:
    """Write both files to a folder, created if it is missing; returns their paths."""
    folder = Path(folder)
    write_text(folder / SAMPLES, as_json(results) + "\n")
    write_text(folder / TABLES, markdown(results))
    return [folder / SAMPLES, folder / TABLES]


def as_json(results: Results) -> str:
    """All measurements as JSON."""
    return json.dumps(results.as_dict(), indent=2)


def read(path: str | Path) -> Results:
    """Read a run from the JSON file of `write`."""
    return Results.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
