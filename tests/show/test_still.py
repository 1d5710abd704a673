"""Pictures of a fold."""

import io

import pytest
from PIL import Image

from tests.conftest import make_video
from tests.show.pages import page, trace
from vidfold import AOT
from vidfold.show.inline import drawing
from vidfold.show.page import View
from vidfold.show.still import format_of, still


def test_png_and_svg():
    picture = Image.open(io.BytesIO(still(page(), "png")))
    assert picture.format == "PNG"
    assert picture.width > picture.height
    text = still(page(), "svg").decode()
    assert "<svg" in text


@pytest.mark.parametrize("frames", [1, 50])
def test_one_frame_and_portrait_and_long_videos(frames):
    view = View("aot", "aot", 0.1, trace(frames=frames))
    assert still(page(view, frames=frames, size=(64, 36)), "png").startswith(b"\x89PNG")


def test_the_format_is_that_of_the_name():
    assert format_of("a/b.SVG") == "svg"
    with pytest.raises(ValueError, match=r"--still must end in \.png or \.svg, got 'fold\.gif'"):
        format_of("fold.gif")
    with pytest.raises(ValueError, match="must be one of png, svg, got 'gif'"):
        still(page(), "gif")


def test_notebooks_draw_a_reduction():
    made = AOT(0.2)(make_video(), weights=True)._repr_html_()
    assert "24 of 120 tokens (20.0 %)" in made
    assert "went into" in made
    assert "<script" not in made
    assert "no token" in AOT(0.2)(make_video())._repr_html_()
    assert "16 of 50 frames drawn" in drawing(trace(frames=50))
