"""The page as a file; `make test-browser` tries it in a browser."""

import re

import numpy as np
import pytest
import torch

from tests.conftest import make_video
from tests.show.pages import matrix, page, record, trace, unpacked
from vidfold import AOT
from vidfold.show.page import Film, Page, Skipped, View


def test_the_page_has_the_weights():
    video = make_video()
    reduction = AOT(0.2)(video, weights=True)
    data = record(page(View("aot", "aot", 0.2, reduction.trace)).html())
    found = matrix(data["views"][0], video.frames, video.cells, data["fine"])
    torch.testing.assert_close(found, reduction.weights.to_dense(), rtol=2e-4, atol=0)
    assert np.array_equal(unpacked(data["views"][0]["places"], "<u4"), reduction.trace.places)


def test_the_page_needs_no_network():
    made = page().html()
    assert "default-src 'none'" in made
    assert not re.search(r"(?:src|href)=|https?://(?!www\.w3\.org/2000/svg)", made)


def test_names_and_questions_are_escaped():
    nasty = "\"><script>alert(1)</script>{{DATA}} ' & ü"
    made = page(title=nasty, question=nasty).html()
    assert made.count("<script") == 2
    assert record(made)["title"] == record(made)["question"] == nasty
    assert "&lt;script&gt;" in made


def test_a_thousand_frames_stay_small():
    made = page(frames=1000, size=(36, 64)).html()  # noise, the worst there is for JPEG
    assert len(made) < 12e6
    assert len(record(made)["pictures"]) == 1000


def test_many_shares_are_cut_and_the_page_says_so(monkeypatch):
    monkeypatch.setattr("vidfold.show.page.EDGES", 20)
    view = record(page().html())["views"][0]
    assert len(unpacked(view["token"], "<u4")) == 20
    assert "only the largest shares are shown" in view["notes"][0]


def test_frames_that_the_model_reads_as_one():
    assert len(record(page(frames=6).html())["pictures"]) == 6
    pixels = np.repeat(np.arange(12, dtype=np.uint8), 8 * 8 * 3).reshape(12, 8, 8, 3) * 20
    made = Page(Film("clip", pixels), [View("aot", "aot", 0.1, trace())]).html()
    assert len(record(made)["pictures"]) == 6


def test_without_frames_and_without_weights():
    bare = AOT(0.2)(make_video()).trace
    data = record(Page(Film("clip"), [View("aot", "aot", 0.2, bare)]).html())
    assert data["pictures"] is None
    assert data["aspect"] == pytest.approx(4 / 5)
    assert not data["views"][0]["known"]


def test_what_the_tower_skipped():
    units = np.zeros((6, 20), bool)
    units[3, 7] = True
    data = record(page(skipped=Skipped("still()", units, (5, 4))).html())["skipped"]
    bits = np.unpackbits(unpacked(data["units"], "u1"), bitorder="little")
    assert bits.nonzero()[0].tolist() == [3 * 20 + 7]


def test_a_notebook_shows_the_page_in_a_frame_and_it_can_be_saved(tmp_path):
    made = page()
    assert made._repr_html_().startswith("<iframe")
    assert "<script" not in made._repr_html_()
    made.save(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text("utf-8") == made.html()
    assert "save" in repr(made)
