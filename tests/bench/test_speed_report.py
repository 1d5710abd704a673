"""Medians, differences and ratios of given samples, and their tables."""

import dataclasses
import json

import pytest

from tests.bench.speed_runs import measured, results
from vidfold.bench.speed import Results, markdown, overview, read, write
from vidfold.bench.speed.quantities import amount, rate, span, spread
from vidfold.bench.speed.results import Group
from vidfold.bench.speed.samples import Spread

CASE = measured()


def lines(text: str) -> dict[str, list[str]]:
    """Rows of an aligned table by name."""
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]
    return {row[0]: row[1:] for row in reversed(rows) if len(row) > 1}


def test_spread():
    assert Spread.of([3.0, 1.0, 2.0, 10.0]) == Spread(2.5, 1.0, 10.0, 4)


def test_tower_time_is_the_sum_of_its_groups():
    assert CASE.tower() == Spread(1800, 1800, 1800, 1)
    assert CASE.tower_a_frame() == Spread(450, 400, 500, 2)


def test_saliency_is_paired_within_groups():
    assert CASE.differences("tapped") == [50, 25]
    assert CASE.added("tapped") == Spread(150, 100, 200, 2)
    assert CASE.tower_ratio("tapped") == Spread(pytest.approx(1.08125), 1.0625, pytest.approx(1.1), 2)


def test_median_over_passes():
    twice = dataclasses.replace(CASE, passes=[*CASE.passes, [Group(4, {"plain": 1600.0, "tapped": 1700.0})]])
    assert twice.tower() == Spread(1700, 1600, 1800, 2)
    assert twice.added("tapped") == Spread(100, 100, 200, 3)
    assert twice.added("authors") == Spread(2800, 2400, 3200, 2)  # from the pass that has it


def test_first_token_is_the_sum_of_medians():
    firsts = {way.name: CASE.first_token(way) for way in CASE.ways}
    assert firsts == {
        "unfolded": 1800 + 2100,
        "folded": 1800 + 150 + 30 + 1 + 225,
        "oracle": 1800 + 1 + 210,
        "authors": 4600 + 300 + 1 + 220,
    }


def test_table_of_times(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    text = overview(results(CASE))
    rows = lines(text)
    assert "aot-paper 10 %" in text
    assert rows["visual tokens"] == ["784", "78", "78", "80"]
    assert rows["vision tower"] == ["1.80 s"] * 4
    assert rows["a frame"] == ["450 ms (400–500)"] * 4
    assert rows["saliency"] == ["-", "150 ms (100–200)", "-", "2.80 s (2.40–3.20)"]
    assert rows["fold"] == ["-", "30.0 ms", "-", "300 ms"]
    assert rows["prefill"] == ["2.10 s (2.00–2.20)", "225 ms (200–250)", "210 ms", "220 ms"]
    assert rows["first token"] == ["3.90 s", "2.21 s", "2.01 s", "5.12 s"]
    assert rows["times as fast"] == ["1.00", "1.77", "1.94", "0.76"]  # the first row of this name
    assert rows["a further token"] == ["11.0 ms (10.0–12.0)"] * 4
    assert rows["cache"][0] == "849 positions, 784 kB"
    assert rows["memory, tower"] == ["1.00 MB", "2.00 MB", "1.00 MB", "90.0 MB"]


def test_sentences(monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    text = overview(results(CASE))
    for sentence in (
        "Prefill after aot-paper is 9.33 times as fast as unfolded.",
        "First token with aot-paper: 9.7 % above the oracle's.",
        "First token of the authors' way: 2.32 times as long as with aot-paper.",
        "The authors' fold, changed to compute cosines as matrix products: 90.0 ms.",
        "One pass of the vision tower",
        "Runs of the stages after the tower: unfolded 3, aot-paper 10 % 2, oracle 1, authors' way 1.",
        "Reading 4 frames of a video: 50.0 ms, not counted above.",
        "random weights (speed does not depend on their values)",
        "bfloat16 on cpu: a machine, 2 threads",
        "unfolded 250 G, aot-paper 10 % 20.0 G",
        "memory: somewhere.",
    ):
        assert sentence in text
    assert "noise" not in text


def test_table_of_work(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    rows = lines(overview(results(CASE)))
    assert rows["vision tower"] == ["1.80 s"] * 4  # the first table's
    assert rows["saliency, aot-paper 10 %"] == ["1.50 G", "-", "150 ms", "10.0 GFLOP/s", "-"]
    assert rows["prefill, unfolded"] == ["4.00 G", "1.00 GB", "2.10 s", "1.90 GFLOP/s", "476 MB/s"]


def test_partly_measured_tower_has_no_first_token(monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    part = measured(authors=(2600.0, None))
    assert part.added("authors") is None
    text = overview(results(part))
    rows = lines(text)
    assert rows["saliency"][3] == "800 ms per frame, on 2 frames"
    assert rows["first token"][3] == "-"
    assert "measured on 2 of 4 frames: 2.60 times as long as untouched on the same frames" in text


def test_noise_is_reported(monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    noisy = dataclasses.replace(
        CASE, passes=[[Group(2, {"plain": 1000.0, "tapped": 600.0}), Group(2, {"plain": 1000.0, "tapped": 1010.0})]]
    )
    noisy = dataclasses.replace(noisy, ways=noisy.ways[:3])
    text = overview(results(noisy))
    assert "uthors' way" not in text
    assert "in only 1 of 2 groups: the cost of saliency is below the noise of this machine and counts as 0" in text
    assert "% above the oracle's" in text


def test_table_of_several_cases():
    text = markdown(results(CASE, measured(frames=8)))
    assert "### 4 frames, batch 1: 784 visual and 65 other tokens per prompt" in text
    assert "### 8 frames" in text
    assert "| 8 | 1 | 3.90 s | 2.21 s | 2.01 s | 5.12 s |" in text


def test_markdown_has_the_same_rows():
    text = markdown(results(CASE))
    assert "| first token | 3.90 s | 2.21 s | 2.01 s | 5.12 s |" in text
    assert "|---|---:|---:|---:|---:|\n" in text
    assert "- First token with aot-paper: 9.7 % above the oracle's." in text


def test_read_inverts_write(tmp_path):
    run = results(CASE, measured(authors=(2600.0, None)))
    paths = write(run, tmp_path / "new")
    assert [path.name for path in paths] == ["speed.json", "speed.md"]
    assert read(paths[0]) == run
    assert Results.from_dict(json.loads(json.dumps(run.as_dict()))) == run
    assert paths[1].read_text(encoding="utf-8") == markdown(run)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (0.123, "0.12 ms"),
        (9.999, "10.0 ms"),
        (312.4, "312 ms"),
        (999.7, "1.00 s"),
        (999.4, "999 ms"),
        (4312, "4.31 s"),
        (-2500, "-2.50 s"),
    ],
)
def test_times_have_three_digits(given, text):
    assert span(given) == text


def test_other_quantities():
    assert spread(Spread(4000, 900, 12000, 3)) == "4.00 s (0.90–12.0)"
    assert spread(None) == "-"
    assert amount(998_400_000, "B") == "998 MB"
    assert amount(999_700_000, "B") == "1.00 GB"
    assert amount(0, "B") == "0.00 B"
    assert rate(1e12, 500, "FLOP/s") == "2.00 TFLOP/s"
    assert rate(1e12, -1, "FLOP/s") == "-"
