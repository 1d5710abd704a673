import itertools

import pytest
from PIL import Image

from vidfold.bench import pictures
from vidfold.bench.drawing import panels
from vidfold.bench.labels import place
from vidfold.bench.pictures import FEW, draw, over_retention, over_time

NAMES = ["quality-retention.png", "quality-retention.svg", "quality-time.png", "quality-time.svg"]


def crowd(rows, count):
    """Rows of many methods, copied from those of one."""
    random = [row for row in rows if row["method"] == "random"]
    return [*rows, *(row | {"method": f"method-{number}"} for number in range(count) for row in random)]


def words(figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in (*axes.texts, axes.title)]


def test_pictures_are_drawn(bench, tmp_path):
    files = draw(bench[1], tmp_path / "new")
    assert sorted(file.name for file in files) == NAMES
    for file in files:
        if file.suffix == ".png":
            with Image.open(file) as picture:
                assert min(picture.size) > 400
                assert len(picture.convert("L").getcolors()) > 20
        else:
            assert file.read_text().startswith("<?xml")


def test_same_numbers_same_picture(bench, tmp_path):
    one, other = (draw(bench[1], tmp_path / name) for name in ("a", "b"))
    for first, second in zip(one, other, strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_few_methods_share_a_panel_and_are_labelled(bench):
    figure = over_retention(bench[1])
    assert len(figure.axes) == 1
    assert {"random", "aot-reference", "all tokens"} <= set(words(figure))


def test_many_methods_get_one_panel_each(bench):
    rows = crowd(bench[1], FEW)
    figure = over_retention(rows)
    shown = [axes for axes in figure.axes if axes.axison]
    assert len(shown) == FEW + 2
    assert {axes.get_title() for axes in shown} == {row["method"] for row in rows} - {"identity"}
    assert len({axes.get_ylim() for axes in shown}) == len({axes.get_xlim() for axes in shown}) == 1


def test_one_time_panel_per_retention(bench):
    figure = over_time(bench[1])
    assert [axes.get_title() for axes in figure.axes] == [
        "10 % of the tokens requested",
        "25 % of the tokens requested",
    ]
    assert words(figure).count("aot-reference") == 2


def test_agreement_is_drawn_without_true_answers(bench):
    rows = [{name: "" if "accuracy" in name else row[name] for name in row} for row in bench[1]]
    assert over_time(rows).get_supylabel() == "same most likely token as unfolded, %"


def test_no_picture_without_methods(bench, tmp_path):
    assert draw(bench[1][:1], tmp_path) == []


def test_separate_pictures_per_bench(bench, tmp_path):
    others = [row | {"source": "videos (2 of 8 frames, 1234)"} for row in bench[1]]
    names = {file.name for file in draw([*bench[1], *others], tmp_path)}
    assert len(names) == 8
    assert "quality-time-tiny-scenes-0-2.png" in names


def test_labels_do_not_overlap():
    figure, ((axes,),) = panels(1, 1, (6, 4))
    points = [((x / 10, y / 10), f"method {x}{y}", "black") for x in range(3) for y in range(4)]
    axes.plot(*zip(*(position for position, *_ in points), strict=True), "o")
    axes.set_xlim(-0.5, 0.8)
    place(axes, points)
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axes.texts if text.get_text()]
    assert len(boxes) == len(points)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_missing_matplotlib_names_the_extra(bench, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"matplotlib is not installed: pip install 'vidfold\[bench\]'"):
        pictures.draw(bench[1], tmp_path)
