"""Medians, differences and ratios of given samples, and their tables."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.speed_runs import from_json, measured, read, results
from vidfold.bench.speed import markdown, overview, write
from vidfold.bench.speed.report import difference, span, spread, work
from vidfold.bench.speed.results import Spread

CASE = measured()
RECORDED = Path(__file__).parents[2] / "benchmarks" / "speed"


def lines(text: str) -> dict[str, list[str]]:
    """Rows of an aligned table by name."""
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]
    return {row[0]: row[1:] for row in reversed(rows) if len(row) > 1}


def test_few_samples_spread_from_the_smallest_to_the_largest():
    assert Spread.of([3.0, 1.0, 2.0, 10.0]) == Spread(2.5, 1.0, 10.0, 4)
    assert Spread.of([float(n) for n in range(8)]) == Spread(3.5, 0.0, 7.0, 8)


@pytest.mark.parametrize(("count", "left_out"), [(9, 1), (12, 2), (16, 3), (30, 9), (100, 39)])
def test_interval_of_the_median_is_that_of_the_sign_test(count, left_out):
    """Numbers left out at each end as tables of the sign test give them for 95 %."""
    found = Spread.of([float(n) for n in range(count)])
    assert (found.low, found.high) == (left_out, count - 1 - left_out)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_spread_holds_its_median(samples):
    found = Spread.of(samples)
    assert min(samples) <= found.low <= found.median <= found.high <= max(samples)


def with_towers(plain: list[float], tapped: list[float], **changes):
    """The case with these samples of a frame."""
    case = dataclasses.replace(measured(authors=False), **changes)
    case.way("unfolded").milliseconds["tower"], case.way("folded").milliseconds["tower"] = plain, tapped
    return case


def test_a_stalled_sample_does_not_change_the_tower():
    tapped = [1405.0 + n / 2 for n in range(16)]
    before = with_towers([1400.0] * 16, tapped, frames=32)
    after = with_towers([1400.0] * 7 + [5000.0] + [1400.0] * 8, tapped, frames=32)
    assert after.tower() == before.tower() == Spread(32 * 1400, 32 * 1400, 32 * 1400, 16)
    assert after.added(after.way("folded")).is_told


def test_recorded_run_with_stalled_groups():
    (case,) = read(RECORDED / "first-token-32.json").cases
    assert case.tower().median == pytest.approx(45.2e3, rel=0.002)  # the sum of one pass is 65.9 s
    assert not case.added(case.way("folded")).is_told


def test_saliency_is_paired():
    assert CASE.added(CASE.way("folded")) == Spread(150, 100, 200, 2)
    assert CASE.added(CASE.way("unfolded")) is CASE.added(CASE.way("oracle")) is None


def test_first_token_is_the_sum_of_medians_and_of_bounds():
    firsts = {way.name: CASE.first_token(way) for way in CASE.ways}
    assert {name: each.median for name, each in firsts.items()} == {
        "unfolded": 1800 + 2100,
        "folded": 1800 + 150 + 30 + 1 + 225,
        "oracle": 1800 + 1 + 210,
        "authors": 1800 + 2800 + 300 + 1 + 220,
    }
    assert (firsts["folded"].low, firsts["folded"].high) == (1600 + 100 + 29 + 1 + 200, 2000 + 200 + 31 + 1.5 + 250)


def test_ways_are_compared_by_turn_and_group():
    folded, oracle = CASE.way("folded"), CASE.way("oracle")
    assert CASE.above(folded, oracle) == Spread(47 + 150, 20 + 100, 68 + 200, 2)


def test_table_of_times(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    text = overview(results(CASE))
    rows = lines(text)
    assert "aot-paper 10 %" in text
    assert rows["visual tokens"] == ["784", "78", "78", "80"]
    assert rows["vision tower"] == ["1.80 s (1.60–2.00)"] * 4
    assert rows["a frame"] == ["450 ms (400–500)"] * 4
    assert rows["saliency"] == ["-", "150 ms (100–200)", "-", "2.80 s (2.40–3.20)"]
    assert rows["fold"] == ["-", "30.0 ms (29.0–31.0)", "-", "300 ms (290–310)"]
    assert rows["prefill"] == ["2.10 s (2.00–2.20)", "225 ms (200–250)", "210 ms (209–211)", "220 ms (219–221)"]
    assert rows["first token"][:2] == ["3.90 s (3.60–4.20)", "2.21 s (1.93–2.48)"]
    assert rows["times as fast"] == ["-", "1.77 (1.45–2.18)", "1.94 (1.63–2.32)", "0.76 (0.63–0.93)"]  # the first row
    assert rows["a further token"] == ["11.0 ms (10.0–12.0)"] * 4
    assert rows["cache"][0] == "849 positions, 784 kB"
    assert rows["memory, tower"] == ["1.00 MB", "2.00 MB", "-", "90.0 MB"]
    assert rows["work, tower"] == ["900 GFLOP, 2.00 TFLOP/s", "-", "-", "-"]
    assert rows["work, prefill"][0] == "4.00 GFLOP, 1.90 GFLOP/s"
    assert rows["work, step"] == ["-"] * 4


def test_sentences(monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    text = overview(results(CASE))
    for sentence in (
        "Prefill after aot-paper is 9.33 (8.00–11.00) times as fast as unfolded.",
        "First token with aot-paper above the oracle's: 197 ms (120–268), 9.8 % of its time.",
        "Samples of the vision tower (frames of a video at a time: 2): unfolded 2, aot-paper 10 % 2, authors' way 2.",
        "Samples of the prefill: unfolded 3, aot-paper 10 % 3, oracle 3, authors' way 3.",
        "Reading 4 frames of a video: 50.0 ms (once), not counted above.",
        "random weights (speed does not depend on their values)",
        "bfloat16 on cpu: a machine, 2 threads",
        "memory: somewhere.",
    ):
        assert sentence in text


def test_a_difference_that_can_be_zero_is_no_bare_number(monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    case = with_towers([500.0, 500.0], [300.0, 705.0])
    text = overview(results(case))
    rows = lines(text)
    assert rows["saliency"] == ["-", "not told from zero (-800 ms to 820 ms)", "-"]
    assert "First token with aot-paper above the oracle's: not told from zero (-780 ms to 888 ms)." in text
    assert case.first_token(case.way("folded")).median == 2000 + 10 + 30 + 1 + 225
    one = with_towers([500.0], [800.0])  # one sample tells nothing
    assert lines(overview(results(one)))["saliency"][1] == "not told from zero (1.20 s to 1.20 s)"


def test_a_cost_below_zero_counts_as_zero():
    case = with_towers([500.0] * 3, [300.0] * 3)
    assert case.first_token(case.way("folded")) == Spread(2000 + 256, 2000 + 230, 2000 + 282.5, 3)


def test_one_table_for_each_case():
    text = markdown(results(CASE, measured(frames=8)))
    assert "### 4 frames, batch 1: 784 visual and 65 other tokens per prompt" in text
    assert "### 8 frames" in text


def test_markdown_has_the_same_rows():
    text = markdown(results(CASE))
    assert "| first token | 3.90 s (3.60–4.20) |" in text
    assert "|---|---:|---:|---:|---:|\n" in text
    assert "- First token with aot-paper above the oracle's: 197 ms" in text


def test_read_inverts_write(tmp_path):
    run = results(CASE, measured(authors=False))
    paths = write(run, tmp_path / "new")
    assert [path.name for path in paths] == ["speed.json", "speed.md"]
    assert read(paths[0]) == run
    assert from_json(run.as_json()) == run
    assert paths[1].read_text(encoding="utf-8") == markdown(run)


@pytest.mark.parametrize("name", ["first-token-32", "first-token-8-16", "first-token-batches"])
def test_files_of_earlier_versions_are_read(name):
    assert "first token" in overview(read(RECORDED / f"{name}.json"))


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
    assert spread(Spread(4000, 4000, 4000, 1)) == "4.00 s (one sample)"
    assert spread(None) == "-"
    assert difference(Spread(-50, -60, -40, 3)) == "-50.0 ms (-60.0–-40.0)"
    assert work(10**12, Spread(500, 400, 600, 3)) == "1.00 TFLOP, 2.00 TFLOP/s"
    assert work(None, Spread(500, 400, 600, 3)) == work(10**12, None) == "-"
