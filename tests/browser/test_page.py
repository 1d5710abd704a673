"""The page of ``vidfold show`` in a browser."""

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import make_video
from tests.show.pages import page, trace
from vidfold import AOT, Random
from vidfold.reducers import AveragePool
from vidfold.show.page import Film, Page, Skipped, View

FRAMES, GRID, CELLS = 6, (9, 8), 20
VIDEO = make_video(FRAMES, GRID)


def views() -> list[View]:
    methods = [AOT(0.2), AOT(0.05), AOT(0.5), Random(0.2), Random(0.5)]
    return [
        View(
            each.name,
            repr(each),
            each.retention,
            each(VIDEO, weights=True).trace,
            cuts=[3] if each.name == "aot" else [],
            answer="a dog",
            milliseconds={"fold": 3.0, "language model": 1500.0},
        )
        for each in methods
    ]


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    skipped = Skipped("still()", np.arange(FRAMES * 72).reshape(FRAMES, 72) % 3 == 0, GRID)
    path = tmp_path_factory.mktemp("page") / "report.html"
    made = page(*views(), question="what is it?", unfolded=("a dog", {"language model": 2500.0}), skipped=skipped)
    made.save(path)
    return path


def canvas(visited, frame: int, panel: int = 0):
    found = visited.page.locator(".panel").nth(panel).locator("canvas").nth(frame)
    found.scroll_into_view_if_needed()
    return found


def point(visited, cell: int, panel: int = 0, tap: bool = False) -> None:
    """Move to the middle of a cell, or tap it."""
    found = canvas(visited, cell // CELLS, panel)
    box = found.bounding_box()
    row, column = divmod(cell % CELLS, 4)
    position = {"x": (column + 0.5) * box["width"] / 4, "y": (row + 0.5) * box["height"] / 5}
    if tap:
        found.tap(position=position)
    else:
        found.hover(position=position)


def listed(visited, panel: int = 0) -> dict[int, float]:
    """Cells and shares that the page lists."""
    root = visited.page.locator(".panel").nth(panel)
    if root.locator(".more").is_visible():
        root.locator(".more").dispatch_event("click")
    rows = root.locator("li").evaluate_all("rows => rows.map(row => [row.dataset.cell, row.dataset.share])")
    return {int(cell): float(share) for cell, share in rows}


def said(visited, panel: int = 0) -> str:
    return visited.page.locator(".said").nth(panel).inner_text()


def test_a_token_shows_the_sources_that_the_weights_have(visit, report):
    visited = visit(report)
    reduction = AOT(0.2)(VIDEO, weights=True)
    weights = reduction.weights.to_dense()
    for number in (0, 7, 15, 23):
        point(visited, int(reduction.trace.places[number]))
        wanted = {cell: float(weights[number, cell]) for cell in weights[number].nonzero()[:, 0].tolist()}
        assert listed(visited) == pytest.approx(wanted, rel=1e-3)
        assert f"made of {len(wanted)} cell" in said(visited)


def test_a_cell_shows_where_it_went(visit, report):
    visited = visit(report)
    reduction = AOT(0.2)(VIDEO, weights=True)
    weights = reduction.weights.to_dense()
    places = reduction.trace.places
    for cell in [cell for cell in range(0, 120, 17) if cell not in places]:
        point(visited, cell)
        wanted = {int(places[number]): float(weights[number, cell]) for number in weights[:, cell].nonzero()[:, 0]}
        assert listed(visited) == pytest.approx(wanted, rel=1e-3)
    dropped = next(cell for cell in range(120) if cell not in Random(0.2)(VIDEO).trace.places)
    point(visited, dropped, panel=1)
    assert "it was dropped" in said(visited, 1)
    visited.page.mouse.move(2, 2)
    assert "Choose a cell" in said(visited, 1)


def test_the_slider_changes_counts(visit, report):
    visited = visit(report)
    kept = visited.page.locator(".told b").first
    assert kept.inner_text() == "24"
    slider = visited.page.get_by_role("slider", name="Tokens kept")
    slider.press("ArrowRight")
    assert kept.inner_text() == "60"
    assert slider.get_attribute("aria-valuetext") == "50 %"
    slider.press("Home")
    assert kept.inner_text() == "6"
    counts = visited.page.locator(".panel").first.locator("figcaption b").all_inner_texts()
    assert list(map(int, counts)) == AOT(0.05)(VIDEO).trace.counts.tolist()


def test_two_methods_side_by_side(visit, report):
    visited = visit(report)
    assert visited.page.locator(".panel h2").all_inner_texts() == [repr(AOT(0.2)), repr(Random(0.2))]
    left, right = (visited.page.locator(".panel").nth(number).bounding_box() for number in (0, 1))
    assert left["y"] == right["y"]
    visited.page.get_by_label("beside it").select_option("")
    assert visited.page.locator(".panel").count() == 1
    visited.page.get_by_label("Method").select_option("random")
    assert visited.page.locator(".panel h2").all_inner_texts() == [repr(Random(0.2))]


def test_answers_times_and_numbers(visit, report):
    visited = visit(report)
    rows = visited.page.locator("#answers tbody tr").all_inner_texts()
    assert rows[0].split("\t") == ["unfolded", "120", "a dog", "2.5 s"]
    assert len(rows) == 6
    assert "answer: “a dog” · fold 3 ms, language model 1.5 s" in visited.page.locator(".told").first.inner_text()
    visited.page.get_by_text("Tokens of every frame as a table").click()
    cells = visited.page.locator("#numbers tbody tr").all_inner_texts()
    assert len(cells) == FRAMES
    assert cells[1].split("\t")[:2] == ["2", "0.50"]


def test_bars_and_cuts(visit, report):
    visited = visit(report)
    bars = visited.page.get_by_role("img", name="clips begin at frames 1, 4")
    assert bars.locator("rect").count() == FRAMES + 1
    assert visited.page.locator("figure.cut").count() == 1


def test_the_keyboard_reaches_everything(visit, report):
    visited = visit(report)
    press, reached = visited.page.keyboard.press, []
    for _ in range(8):
        press("Tab")
        reached.append(visited.page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert reached[:6] == ["slider", "method0", "method1", "skipped", "strip", "strip"]
    strip = visited.page.get_by_role("application", name="Film strip of 6 frames, folded by AOT").first
    strip.focus()
    press("ArrowRight")
    assert "frame 1, row 1, column 1" in said(visited)
    for key, where in {
        "ArrowRight": "frame 1, row 1, column 2",
        "ArrowDown": "frame 1, row 2, column 2",
        "PageDown": "frame 2, row 2, column 2",
        "End": "frame 6, row 2, column 2",
        "ArrowLeft": "frame 6, row 2, column 1",
        "ArrowUp": "frame 6, row 1, column 1",
        "PageUp": "frame 5, row 1, column 1",
        "Home": "frame 1, row 1, column 1",
    }.items():
        press(key)
        assert where in said(visited), key
    press("Escape")
    assert "Choose a cell" in said(visited)
    press("ArrowRight")
    if said(visited).startswith("Cell"):
        press("Enter")  # to the token that has most of it
    assert said(visited).startswith("Token at")
    press("Tab")
    assert visited.page.evaluate("document.activeElement.tagName") == "BUTTON"
    press("Enter")
    assert "frame" in said(visited)


def test_a_link_to_a_cell(visit, report):
    page = visit(f"{report.as_uri()}#27").page
    assert "frame 2, row 2, column 4" in page.locator(".said").first.inner_text()


def test_screen_readers_are_told(visit, report):
    from axe_playwright_python.sync_playwright import Axe

    for scheme in ("light", "dark"):
        visited = visit(report, color_scheme=scheme)
        point(visited, 3)
        found = Axe().run(visited.page)
        assert found.violations_count == 0, found.generate_report()
    assert visited.page.locator(".said").first.get_attribute("aria-live") == "polite"


def test_a_phone(visit, report):
    visited = visit(report, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    assert visited.page.evaluate("document.documentElement.scrollWidth") <= 390
    places = AOT(0.2)(VIDEO).trace.places
    point(visited, int(places[0]), tap=True)
    assert said(visited).startswith("Token at frame")
    above, below = (visited.page.locator(".panel").nth(number).bounding_box() for number in (0, 1))
    assert below["y"] > above["y"]


def test_light_and_dark_differ(visit, report):
    colors = [
        visit(report, color_scheme=scheme).page.evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    ]
    assert colors == ["rgb(255, 255, 255)", "rgb(20, 22, 26)"]


def test_skipped_patches(visit, report):
    visited = visit(report)
    pixels = "canvas => canvas.toDataURL()"
    before = canvas(visited, 0).evaluate(pixels)
    visited.page.get_by_label("patches the vision tower skipped").check()
    assert canvas(visited, 0).evaluate(pixels) != before


def test_nothing_is_loaded_and_nothing_runs_that_names_bring_along(visit, tmp_path):
    nasty = '<img src=x onerror="window.hacked=1">"\'&{{JS}}</script><script>window.hacked=1</script>'
    view = View(nasty, nasty, 0.1, trace(), answer=nasty, notes=[nasty])
    made = page(view, title=nasty, question=nasty, unfolded=(nasty, {}))
    made.save(tmp_path / "nasty.html")
    visited = visit(tmp_path / "nasty.html")
    assert visited.page.evaluate("window.hacked") is None
    assert visited.page.locator("h1").inner_text() == nasty
    assert nasty in visited.page.locator(".told").inner_text()
    assert [each for each in visited.requests if not each.startswith(("file:", "data:"))] == []


@pytest.mark.parametrize(
    ("frames", "grid", "size"),
    [(1, (9, 8), (24, 40)), (6, (2, 2), (64, 36)), (3, (9, 40), (20, 90)), (2, (28, 14), (280, 140))],
    ids=["one-frame", "tiny-grid", "wide", "portrait"],
)
def test_other_shapes(visit, tmp_path, frames, grid, size):
    view = View("aot", "aot", 0.5, trace(frames=frames, grid=grid, retention=0.5))
    page(view, frames=frames, size=size).save(tmp_path / "page.html")
    visited = visit(tmp_path / "page.html")
    box = canvas(visited, frames - 1).bounding_box()
    assert box["width"] / box["height"] == pytest.approx(size[1] / size[0], rel=0.03)
    visited.page.locator(".strip").focus()
    visited.page.keyboard.press("End")
    assert f"frame {frames}, row 1, column 1" in said(visited)


def test_without_pictures_and_weights(visit, tmp_path):
    Page(Film("clip"), [View("aot", "aot", 0.2, AOT(0.2)(VIDEO).trace)]).save(tmp_path / "page.html")
    visited = visit(tmp_path / "page.html")
    point(visited, 0)
    assert "this fold has no weights" in said(visited)


def test_a_thousand_frames(visit, tmp_path):
    """196 cells a frame, as LLaVA-OneVision reads them."""
    video = make_video(1000, (27, 27), channels=4)
    methods = [AveragePool(0.1), Random(0.1), AveragePool(0.5), AveragePool(0.25)]
    folds = [View(each.name, repr(each), each.retention, each(video, weights=True).trace) for each in methods]
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 255, (1000, 9, 16, 3), np.uint8).repeat(30, 1).repeat(30, 2)
    path = tmp_path / "long.html"
    Page(Film("long", rows, np.arange(1000.0)), folds).save(path)
    assert path.stat().st_size < 20e6
    visited = visit(path)
    visited.page.locator(".strip").first.focus()
    visited.page.keyboard.press("End")
    assert "frame 1000" in said(visited)
    assert visited.page.evaluate("images.filter(Boolean).length") < 300  # drawn where they are seen
    assert canvas(visited, 999).evaluate("canvas => canvas.width") > 100
