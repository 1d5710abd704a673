import sys

import pytest

from tests.bench.conftest import CLIPS, METHODS, RETENTIONS
from vidfold.bench.writing import write_quality


def test_files_are_written(bench, tiny):
    folder, _ = bench
    text = write_quality(METHODS, RETENTIONS, CLIPS, folder, models=[tiny])
    names = ["quality.csv", "quality.md"] + [
        f"quality-{name}.{form}" for name in ("retention", "time") for form in ("svg", "png")
    ]
    for name in names:
        assert (folder / name).stat().st_size > 1000
        assert str(folder / name) in text
    assert "tiny, scenes 0-2, 10 % of the tokens requested" in text
    assert (folder / "quality.md").read_text().startswith("### tiny, scenes 0-2, 25 % of the tokens requested")


def test_missing_matplotlib_raises_before_measuring(tmp_path, tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'vidfold\[bench\]'"):
        write_quality(["random"], [0.1], 1, tmp_path, models=[tiny])
    assert list(tmp_path.iterdir()) == []
