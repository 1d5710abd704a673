import pytest

from tests.conftest import make_video
from vidfold.drops import Drop
from vidfold.reducers.inner import FastV, PyramidDrop


def test_fastv_ranks_with_the_layer_before_the_drop():
    assert FastV(retention=0.3).schedule(28) == (Drop(2, 0.3, scorer=1),)
    assert FastV(layer=5).schedule(28) == (Drop(5, 0.5, scorer=4),)


def test_pyramiddrop_divides_the_decoder_in_four():
    published = (Drop(8, 0.5, 8), Drop(16, 0.25, 16), Drop(24, 0.125, 24))
    assert PyramidDrop().schedule(32) == published
    assert PyramidDrop(layers=[8, 16, 24]).schedule(32) == published
    assert [drop.layer for drop in PyramidDrop().schedule(26)] == [6, 13, 19]
    assert PyramidDrop(ratio=0.3, layers=(4,)).schedule(6) == (Drop(4, 0.3, 4),)
    assert hash(PyramidDrop(layers=[1, 2])) == hash(PyramidDrop(layers=(1, 2)))


@pytest.mark.parametrize(
    ("method", "settings", "quoted"),
    [
        (FastV, {"retention": 0}, r"retention must be in \(0, 1\], got 0"),
        (FastV, {"retention": 1.5}, r"got 1\.5"),
        (FastV, {"retention": "abc"}, "got 'abc'"),
        (FastV, {"layer": 0}, "layer must be a whole number of at least 1, got 0"),
        (FastV, {"layer": 2.0}, r"got 2\.0"),
        (PyramidDrop, {"ratio": 0.0}, r"ratio must be in \(0, 1\], got 0\.0"),
        (PyramidDrop, {"layers": ()}, r"layers .* got \(\)"),
        (PyramidDrop, {"layers": 8}, "layers .* got 8"),
        (PyramidDrop, {"layers": (8, 0)}, "got 0"),
    ],
)
def test_bad_settings(method, settings, quoted):
    with pytest.raises(ValueError, match=quoted):
        method(**settings)


@pytest.mark.parametrize("method", [FastV(layer=4), PyramidDrop(layers=(2, 4)), PyramidDrop(layers=(3, 1))], ids=repr)
def test_layers_the_language_model_does_not_have(method):
    with pytest.raises(ValueError, match="1 to 3 in a language model of 4 layers"):
        method.schedule(4)
    with pytest.raises(ValueError, match="language model of 2 layers, got 0, 1, 1"):
        PyramidDrop().schedule(2)


@pytest.mark.parametrize("method", [FastV(0.1), PyramidDrop()], ids=repr)
def test_methods_inside_the_language_model_raise_when_called(method):
    video = make_video()
    assert method.count(video.frames, video.cells) == video.frames * video.cells
    with pytest.raises(ValueError, match=rf"{method.name} works inside the language model.*fold\(model"):
        method(video)
