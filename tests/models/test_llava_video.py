"""What LLaVA-Video alone does: average pooling, and a newline after every row."""

import copy
import itertools
import warnings

import pytest
import torch

from tests.models import builders, llava_video_model
from vidfold import AOT, Identity, Pooling, Random, fold, models
from vidfold.models import LlavaVideo
from vidfold.models.llava_video import dress, record, time_instruction
from vidfold.reducers import AOTReference, FastV, HoliTom
from vidfold.reducers.base import select

GREEDY = {"max_new_tokens": 3, "min_new_tokens": 3, "do_sample": False}


@pytest.fixture(scope="module")
def siglip():
    """The 27 x 27 grid of SigLIP SO400M: 13 x 13 tokens and 13 newlines a frame."""
    return llava_video_model.build(side=27)


@pytest.fixture(scope="module")
def small():
    """3 x 3 tokens and 3 newlines a frame."""
    return llava_video_model.build()


@pytest.mark.parametrize(
    ("side", "pooling", "grid"),
    [
        (27, Pooling.AVERAGE, (13, 13)),
        (7, Pooling.AVERAGE, (3, 3)),
        (6, Pooling.AVERAGE, (3, 3)),
        (7, Pooling.BILINEAR, (4, 4)),
    ],
)
def test_rows_of_the_model_features_end_with_newlines(side, pooling, grid):
    model = llava_video_model.build(side=side, pooling=pooling)
    inputs = llava_video_model.inputs(model, prompts=(3, 4), frames=((3,), (3,)))
    own = model.model.get_video_features(inputs["pixel_values_videos"]).pooler_output
    assert own.shape == (2, 3 * grid[0] * (grid[1] + 1), 32)
    rows = own.view(2, 3, grid[0], grid[1] + 1, 32)
    assert torch.equal(rows[..., -1, :], model.model.image_newline.expand(2, 3, grid[0], 32))
    for video, expected in zip(models.encode(model, inputs), rows, strict=True):
        assert (video.pooling, video.language_grid) == (pooling, grid)
        assert torch.equal(video.newline, model.model.image_newline)
        torch.testing.assert_close(video.pooled(), expected[:, :, :-1].flatten(1, 2), rtol=0, atol=1e-6)


def test_keeping_everything_gives_the_unfolded_sequence(siglip):
    inputs = llava_video_model.inputs(siglip)
    family = models.family(siglip)
    (video,) = family.encode(inputs)
    spliced = family.splice(inputs, [Identity()(video)])
    with torch.no_grad():
        own = siglip.model.get_video_features(inputs["pixel_values_videos"]).pooler_output
    tokens = spliced["mm_encoder_outputs"]["video"].pooler_output
    torch.testing.assert_close(tokens[:, 0], own[0], rtol=0, atol=1e-6)
    assert torch.equal(spliced["input_ids"], inputs["input_ids"])


@pytest.mark.parametrize("method", [AOT(retention=0.1), Random(retention=0.02)], ids=lambda each: each.name)
def test_rows_with_tokens_end_with_a_newline(siglip, method):
    inputs = llava_video_model.inputs(siglip, frames=((4,),))
    with fold(siglip, method) as folded:
        siglip.generate(**inputs, **GREEDY)
    (reduction,) = folded.last.reductions
    assert folded.last.before == (4 * 169,)
    assert folded.last.after == (method.count(4, 169),)
    newline = reduction.cells >= 169
    row = torch.where(newline, reduction.cells - 169, reduction.cells // 13) + 13 * reduction.frames
    lines = [list(line) for _, line in itertools.groupby(range(len(row)), row.tolist().__getitem__)]
    assert row.tolist() == sorted(row.tolist())
    assert all(len(line) > 1 and newline[line].tolist() == [False] * (len(line) - 1) + [True] for line in lines)
    assert folded.last.newlines == (len(lines),)
    assert torch.equal(reduction.tokens[newline], siglip.model.image_newline.detach().expand(len(lines), -1))
    text = len(inputs["input_ids"][0]) - 4 * 182
    assert folded.last.prompt_after == text + folded.last.after[0] + len(lines)


@pytest.mark.parametrize(
    "method", [AOTReference(anchors=60, clip=2), HoliTom(retention=0.2, original=True)], ids=lambda each: each.name
)
def test_newlines_placed_by_a_method_are_unchanged(siglip, method):
    inputs = llava_video_model.inputs(siglip, frames=((4,),))
    (video,) = models.encode(siglip, inputs, frozenset(method.needs))
    expected = method(video)
    assert expected.newlines > 0
    with fold(siglip, method) as folded:
        siglip.generate(**inputs, **GREEDY)
    (reduction,) = folded.last.reductions
    torch.testing.assert_close(reduction.tokens, expected.tokens, rtol=0, atol=1e-5)
    assert torch.equal(reduction.cells, expected.cells)
    assert folded.last.newlines == (expected.newlines,)


def test_arranged_is_idempotent(small):
    (video,) = models.encode(small, llava_video_model.inputs(small))
    family = models.family(small)
    once = family.arranged(select(video, torch.tensor([0, 5, 17]), weights=False))
    assert once.cells.tolist() == [0, 9, 5, 10, 8, 11]
    assert family.arranged(once) is once


def test_newlines_are_never_dropped_inside_the_language_model(small):
    inputs = llava_video_model.inputs(small, frames=((4,),))
    with fold(small, FastV(retention=0.25, layer=1)) as folded:
        output = small.generate(**inputs, **GREEDY, return_dict_in_generate=True)
    assert folded.last.layers == (36, 9)
    dropped = [layer.keys.shape[2] for layer in output.past_key_values.layers]
    assert dropped[0] - dropped[1] == 36 - 9


def test_no_warning_when_newlines_replace_dropped_tokens(small):
    """Newlines make up in number for what was dropped."""
    inputs = llava_video_model.inputs(small, frames=((4,),))
    with warnings.catch_warnings(), fold(small, Random(retention=0.9)) as folded:
        warnings.simplefilter("error")
        small.generate(**inputs, **GREEDY)
    assert folded.last.after == (32,)
    assert sum(map(len, folded.last.reductions)) > 36


def test_only_the_changed_model_is_affected(small):
    other = builders.llava_onevision(7, 8)
    pixels = builders.pixels(small, frames=2)
    assert other.model.get_video_features(pixels).pooler_output.shape[1] == 2 * 16 + 1
    assert small.model.get_video_features(pixels).pooler_output.shape[1] == 2 * 12
    assert type(other.model) is type(small.model)
    assert models.family(other).model_type == "llava_onevision"


def test_a_copy_reads_its_own_weights(small):
    pixels = builders.pixels(small, frames=2)
    before = small.model.get_video_features(pixels).pooler_output
    twin = copy.deepcopy(small)
    with torch.no_grad():
        twin.model.image_newline.fill_(7)
    after = twin.model.get_video_features(pixels).pooler_output
    assert after[0, 3].eq(7).all()
    assert torch.equal(small.model.get_video_features(pixels).pooler_output, before)


def test_model_without_llava_video_changes_raises():
    model = builders.llava_onevision(7, 8)
    model.config.vidfold = record(Pooling.AVERAGE)
    with pytest.raises(ValueError, match=r"loaded without vidfold\.models\.load"):
        models.family(model)
    dress(model)
    assert models.family(model).pooling is Pooling.AVERAGE


def test_questions_come_after_the_times_of_the_frames(small):
    assert time_instruction(12.5, [0.0, 6.25, 12.499]) == (
        "The video lasts for 12.50 seconds, and 3 frames are uniformly sampled from it. "
        "These frames are located at 0.00s,6.25s,12.50s.Please answer the following questions related to this video."
    )
    asked = models.family(small).asked("What?", 12.5, [0.0])
    assert asked == time_instruction(12.5, [0.0]) + "\nWhat?"
    plain = builders.llava_onevision(7, 8)
    assert models.family(plain).asked("What?", 12.5, [0.0]) == "What?"
    plain.config.vidfold = record(Pooling.AVERAGE, add_time_instruction=False)
    dress(plain)
    assert models.family(plain).asked("What?", 12.5, [0.0]) == "What?"


@pytest.mark.parametrize(("duration", "most", "frames"), [(60, 8, 8), (5.4, 8, 5), (0.2, 8, 1)])
def test_one_frame_a_second_unless_a_number_is_forced(small, duration, most, frames):
    assert LlavaVideo(small).shown_frames(duration, most) == most
    model = builders.llava_onevision(7, 8)
    model.config.vidfold = record(Pooling.AVERAGE, force_sample=False)
    dress(model)
    assert LlavaVideo(model).shown_frames(duration, most) == frames
    with pytest.raises(ValueError, match="most"):
        LlavaVideo(model).shown_frames(duration, 0)
