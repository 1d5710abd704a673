import numpy as np
import pytest
import torch

from tests.conftest import make_video
from tests.folding.calls import row
from tests.models import qwen2_5_vl_model
from tests.show.pages import record, unpacked
from vidfold import AOT, Random, fold
from vidfold.folding.report import STAGES, Clock, Report


def test_report_counts_newlines_separately():
    video = make_video(frames=4, grid=(6, 6))
    reduction = Random(retention=0.25)(video)
    report = Report((reduction, reduction), prompt_before=100, prompt_after=40, closing=1)
    assert report.before == (36, 36)
    assert report.after == (9, 9)
    assert report.newlines == (1, 1)
    assert report.milliseconds == {}
    assert str(report).startswith("tokens 72 -> 18 (25.0 %)")


def test_report_of_a_call_without_video():
    report = Report((), 12, 12)
    assert report.before == report.after == report.newlines == ()
    assert str(report) == "no video: prompt of 12 tokens unchanged"


def test_clock_names_the_stages():
    clock = Clock(torch.device("cpu"))
    for _ in STAGES:
        clock.mark()
    times = clock.milliseconds()
    assert tuple(times) == STAGES
    assert all(0 <= value < 1000 for value in times.values())
    reduction = Random(retention=0.1)(make_video())
    text = str(Report((reduction,), 1, 1, clock=clock))
    assert text.endswith("| encode 0 ms, fold 0 ms, splice 0 ms")


def test_report_of_tokens_dropped_inside_the_language_model():
    video = make_video(frames=4, grid=(6, 6))
    report = Report((Random(retention=1.0)(video),), 50, 50, layers=(36, 36, 18, 9))
    assert report.layer_retention == 0.6875
    inside = "68.8 % on average inside: 36 in layers 0-1, 18 in layer 2, 9 in layer 3"
    assert str(report) == f"tokens 36 -> 36 (100.0 %) before the language model, {inside} | "
    assert Report((Random(retention=0.25)(video),), 50, 23).layer_retention == 0.25
    assert Report((), 12, 12).layer_retention == 1.0


def test_a_page_of_the_last_call(small):
    with fold(small, AOT(0.25), weights=True) as folded:
        small(**row(small, 0))
    report = folded.last
    assert report.reductions[0].weights is not None
    data = record(report.show(np.zeros((8, 30, 20, 3), np.uint8)).html())
    assert data["views"][0]["known"]
    assert data["views"][0]["details"] == repr(AOT(0.25))
    with pytest.raises(ValueError, match="video must be below"):
        report.show(video=9)
    with pytest.raises(ValueError, match=r"frames must be .* uint8, got \(8, 30, 20\)"):
        report.show(np.zeros((8, 30, 20), np.uint8))


def test_a_page_without_weights_says_how_to_get_them():
    report = Report((Random(retention=0.25)(make_video()),), 100, 40)
    (view,) = record(report.show().html())["views"]
    assert not view["known"]
    assert "weights=True" in view["notes"][0]
    assert "30 of 120 tokens" in report._repr_html_()


def test_videos_of_one_call_have_grids_of_their_own():
    model = qwen2_5_vl_model.build()
    with fold(model, AOT(0.25), weights=True) as folded, torch.no_grad():
        model(**qwen2_5_vl_model.inputs(model, (4,), ((2, 3),)))
    found = [record(folded.last.show(video=number).html()) for number in (0, 1)]
    assert [(each["grid"], each["frames"]) for each in found] == [([6, 4], 2), ([4, 6], 3)]
    assert [len(unpacked(each["views"][0]["places"], "<u4")) for each in found] == list(folded.last.after)
