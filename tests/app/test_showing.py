"""A page on a video: folds, answers and times."""

import numpy as np
import pytest

from tests.models import qwen2_5_vl_model
from tests.show.pages import matrix, record, unpacked
from vidfold import AOT, Identity, Random
from vidfold.app.asking import ask
from vidfold.app.encoded import Encoded
from vidfold.app.loading import VideoModel, load
from vidfold.app.reading import timed
from vidfold.app.showing import needs, page
from vidfold.models import family
from vidfold.reducers import FastV, FlashVID
from vidfold.tiny import questions, render, seeds
from vidfold.tower import Still

CLIP = render(seeds("search", 1)[0])
QUESTION = questions(CLIP)[0]


@pytest.fixture(scope="module")
def loaded() -> VideoModel:
    return load(device="cpu")


@pytest.fixture(scope="module")
def frames():
    return timed(CLIP.frames, 2.0)


def test_answers_weights_and_times(loaded, frames):
    method = AOT(0.25, segments=((0, 3), (3, 5)))
    video = Encoded.of(loaded, frames)
    data = record(page(video, [method, Random(0.1)], title="clip", question=QUESTION.text).html())
    first, second = data["views"]
    assert first["answer"] == ask(loaded, frames, QUESTION.text, method).text
    assert second["answer"] == ask(loaded, frames, QUESTION.text, Random(0.1)).text
    assert data["unfolded"]["answer"] == ask(loaded, frames, QUESTION.text).text
    assert set(first["milliseconds"]) == {"encode", "fold", "language model"}
    assert (first["cuts"], second["cuts"]) == ([3], [])
    assert data["times"] == [each / 2 for each in range(8)]
    weights = method(video.tokens, weights=True).weights.to_dense()
    assert np.allclose(matrix(first, 8, 36, data["fine"]), weights, rtol=2e-4)


def test_a_method_inside_the_language_model(loaded, frames):
    method = FastV(0.25, layer=1)
    video = Encoded.of(loaded, frames)
    (view,) = record(page(video, [method], title="clip", question=QUESTION.text).html())["views"]
    assert view["answer"] == ask(loaded, frames, QUESTION.text, method).text
    assert len(unpacked(view["places"], "<u4")) == 288
    assert "inside the language model" in view["notes"][0]
    assert "288 in layer 0, 72 in layer" in view["notes"][0]


def test_what_the_tower_skips(loaded, frames):
    method = AOT(0.1)
    video = Encoded.of(loaded, frames, tower=Still())
    skipped = record(page(video, [method], title="clip").html())["skipped"]
    (units,) = video.family.units(video.inputs)
    computed = Still().plan(units).computed
    bits = np.unpackbits(unpacked(skipped["units"], "u1"), bitorder="little")[: computed.numel()]
    assert skipped["grid"] == [12, 12]
    assert np.array_equal(bits, ~computed.flatten())


def test_a_method_without_weights_and_a_number_of_tokens(loaded, frames):
    methods = [FlashVID(0.1, original=True), AOT(tokens=20), Identity()]
    video = Encoded.of(loaded, frames, needs(methods))
    views = record(page(video, methods, title="clip").html())["views"]
    assert [view["known"] for view in views] == [False, True, True]
    assert [view["asked"] for view in views] == [0.1, 20 / 288, 1.0]
    assert all(view["answer"] is None for view in views)


def test_one_frame(loaded):
    video = Encoded.of(loaded, timed(CLIP.frames[:1], 2.0))
    data = record(page(video, [AOT(0.1)], title="clip", question=QUESTION.text).html())
    assert data["frames"] == 1
    assert len(unpacked(data["views"][0]["places"], "<u4")) == 4


def test_bad_input(loaded, frames):
    video = Encoded.of(loaded, frames)
    with pytest.raises(ValueError, match="methods must be at least one"):
        page(video, [], title="clip")
    with pytest.raises(ValueError, match="question must not be empty"):
        page(video, [AOT(0.1)], title="clip", question=" ")
    with pytest.raises(ValueError, match="max_new_tokens"):
        page(video, [AOT(0.1)], title="clip", question="what?", max_new_tokens=0)


def test_a_model_that_reads_two_frames_as_one():
    model = qwen2_5_vl_model.build()
    inputs = qwen2_5_vl_model.inputs(model, (4,), ((3,),))
    pixels = np.zeros((6, 48, 32, 3), np.uint8)
    pixels[::2] = 255
    (tokens,) = family(model).encode(inputs)
    video = Encoded(VideoModel("qwen", model, None, 0.0), timed(pixels, 2.0), inputs, tokens, {"encode": 1.0}, Still())
    data = record(page(video, [AOT(0.25)], title="clip").html())
    assert (data["frames"], data["grid"], data["times"]) == (3, [6, 4], [0.0, 1.0, 2.0])
    assert len(data["pictures"]) == 3
    assert data["skipped"]["grid"] == [6, 4]
