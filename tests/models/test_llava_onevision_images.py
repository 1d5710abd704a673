"""Images of LLaVA-OneVision: read whole beside videos, and folded where that is wished."""

import functools

import pytest
import torch

from tests.models import builders
from tests.models import llava_onevision_model as tiny
from tests.models.matrix import Keep, greedy
from vidfold import AOT, Identity, Random, fold, models
from vidfold.models import LlavaOnevision

SQUARE, WIDE, TALL = tiny.SIZES
ALL = frozenset({"shallow", "deep", "keys"})


@functools.cache
def built(attention="sdpa"):
    return tiny.build(attention=attention)


def prompt(*sizes, model=None, video=False):
    """Inputs of one row of images of these sizes, after a video or not."""
    model = model or built()
    images = [tiny.image(model, size, alone=len(sizes) == 1, seed=number) for number, size in enumerate(sizes)]
    ids = [1, 20, *([builders.VIDEO] * 19 if video else [])]
    for each in images:
        ids += [builders.IMAGE] * each.places + [21]
    made = builders.batch([[*ids, 22, 23]]) | {
        "pixel_values": torch.stack([each.pixels for each in images]),
        "image_sizes": torch.tensor([each.size for each in images]),
        "batch_num_images": torch.tensor([len(sizes)]),
    }
    return made | ({"pixel_values_videos": builders.pixels(model, frames=2)} if video else {})


@pytest.mark.parametrize("aspect", ["anyres_max_9", "anyres_max_1"])
@pytest.mark.parametrize("size", tiny.SIZES)
def test_features_equal_the_model_without_newlines(size, aspect):
    model = built()
    inputs = prompt(size) | {"vision_aspect_ratio": aspect}
    whole, crops = LlavaOnevision(model).encode_images(inputs)
    arguments = {name: value for name, value in inputs.items() if name not in ("input_ids", "attention_mask")}
    with torch.no_grad():
        (stock,) = model.model.get_image_features(**arguments, return_dict=True).pooler_output
    (height, width), features = crops.grid, crops.features[0]
    assert whole.grid == (6, 6)
    assert len(stock) == 36 + height * (width + 1)
    torch.testing.assert_close(whole.features[0], stock[:36], rtol=0, atol=1e-6)
    rows = stock[36:].view(height, width + 1, -1)
    torch.testing.assert_close(features, rows[:, :-1].flatten(0, 1), rtol=0, atol=1e-6)
    torch.testing.assert_close(rows[:, -1], model.model.image_newline.expand(height, -1))


def test_attention_and_keys_are_on_the_device_of_the_features():
    """Crops of the square image are read whole, so their values are those of the tower, put beside one another."""
    model, eager = built(), built("eager").model.vision_tower
    inputs = prompt((2.0, 2.0))
    whole, crops = LlavaOnevision(model).encode_images(inputs, ALL)
    with torch.no_grad():
        matrices = eager(inputs["pixel_values"][0], output_attentions=True).attentions
    assert crops.grid == (12, 12)
    assert crops.keys.shape == (1, 144, 16)
    for name, layer in LlavaOnevision(model).observed_layers().items():
        received = matrices[layer].sum(2).mean(1)
        torch.testing.assert_close(getattr(whole, name), received[:1], rtol=1e-5, atol=0)
        beside = received[1:].view(2, 2, 6, 6).permute(0, 2, 1, 3).reshape(1, 144)
        torch.testing.assert_close(getattr(crops, name), beside, rtol=1e-5, atol=0)


def test_several_images_stay_whole():
    images = LlavaOnevision(built()).encode_images(prompt(WIDE, SQUARE, TALL), ALL)
    assert [image.grid for image in images] == [(6, 6)] * 3
    assert [image.frames for image in images] == [1] * 3


@pytest.mark.parametrize("video", [False, True])
@pytest.mark.parametrize("sizes", [(SQUARE,), (WIDE,), (TALL,), (WIDE, TALL)], ids=str)
def test_keeping_everything_changes_nothing(sizes, video):
    model = built()
    inputs = prompt(*sizes, video=video)
    with torch.no_grad():
        stock = model(**inputs).logits
        with fold(model, Identity(), images=True) as folded:
            torch.testing.assert_close(model(**inputs).logits, stock, rtol=0, atol=1e-4)
    assert folded.last.prompt_after == inputs["input_ids"].shape[1]
    places = int((inputs["input_ids"] == builders.IMAGE).sum())
    shown = slice(int(video), None)
    assert sum(folded.last.before[shown]) + sum(folded.last.newlines[shown]) == places


def test_row_without_tokens_has_no_newline():
    model = built()
    inputs = prompt(WIDE)
    _, crops = LlavaOnevision(model).encode_images(inputs)
    height, width = crops.grid
    kept = (torch.tensor([3, 20]), torch.tensor([0, width + 1, width + 2, height * width - 1]))
    columns = (inputs["input_ids"][0] == builders.IMAGE).nonzero()[:, 0]
    rows = columns[36:].view(height, width + 1)
    mask = inputs["attention_mask"].clone()
    mask[0, columns] = 0
    mask[0, columns[kept[0]]] = 1
    mask[0, rows[:, :-1].flatten()[kept[1]]] = 1
    mask[0, rows[[0, 1, height - 1], -1]] = 1
    with torch.no_grad():
        expected = model(**inputs | {"attention_mask": mask}, position_ids=(mask.cumsum(1) - 1).clamp(min=0)).logits
        with fold(model, Keep(kept), images=True) as folded:
            torch.testing.assert_close(model(**inputs).logits[:, -1], expected[:, -1], rtol=0, atol=1e-4)
    assert folded.last.after == (2, 4)
    assert folded.last.newlines == (0, 3)


def test_newline_after_a_whole_image_stays():
    model = built()
    inputs = prompt(SQUARE, SQUARE)
    kept = (torch.tensor([5]), torch.tensor([0, 35]))
    columns = (inputs["input_ids"][0] == builders.IMAGE).nonzero()[:, 0].view(2, 37)
    mask = inputs["attention_mask"].clone()
    mask[0, columns[:, :-1]] = 0
    mask[0, columns[0, 5]] = mask[0, columns[1, 0]] = mask[0, columns[1, 35]] = 1
    with torch.no_grad():
        expected = model(**inputs | {"attention_mask": mask}, position_ids=(mask.cumsum(1) - 1).clamp(min=0)).logits
        with fold(model, Keep(kept), images=True) as folded:
            torch.testing.assert_close(model(**inputs).logits[:, -1], expected[:, -1], rtol=0, atol=1e-4)
    assert folded.last.newlines == (1, 1)


@pytest.mark.parametrize("sizes", [(TALL,), (WIDE, TALL)], ids=str)
@pytest.mark.parametrize("method", [AOT(retention=0.2), AOT.paper(retention=0.2), Random(retention=0.2)], ids=repr)
def test_every_grid_has_a_separate_budget(sizes, method):
    model = built()
    inputs = prompt(*sizes, video=True)
    with fold(model, method, images=True) as folded:
        output = model.generate(**inputs, **greedy(tiny), num_beams=2, return_dict_in_generate=True)
    video, *images = folded.last.reductions
    assert folded.last.images == len(images) == 2
    assert folded.last.after[0] == method.count(2, 9)
    assert folded.last.after[1:] == tuple(method.count(1, each.full) for each in images)
    assert len(video) == folded.last.after[0]
    dropped = inputs["input_ids"].shape[1] - folded.last.prompt_after
    given = int((inputs["input_ids"] == builders.IMAGE).sum()) + 18
    assert given - dropped == sum(folded.last.after) + sum(folded.last.newlines[1:])
    assert torch.equal(output.sequences[:, : inputs["input_ids"].shape[1]], inputs["input_ids"])


def test_a_batch_of_image_prompts():
    """One image with crops, two without, in one call."""
    model = built()
    inputs = tiny.inputs(model, prompts=(3, 8), frames=((), ()), images=(1, 2))
    with torch.no_grad():
        stock = model(**inputs).logits
        with fold(model, Identity(), images=True) as folded:
            torch.testing.assert_close(model(**inputs).logits, stock, rtol=0, atol=1e-4)
    assert folded.last.images == 4
    with fold(model, AOT.paper(retention=0.2), images=True):
        together = model.generate(**inputs, **greedy(tiny), num_beams=2)
        for number, count in enumerate((1, 2)):
            alone = tiny.inputs(model, prompts=((3, 8)[number],), frames=((),), images=(count,))
            assert torch.equal(model.generate(**alone, **greedy(tiny), num_beams=2)[0, -4:], together[number, -4:])


def test_wrong_counts_raise():
    model = built()
    inputs = prompt(SQUARE)
    with fold(model, Random(retention=0.3), images=True):
        with pytest.raises(ValueError, match=r"\[1, 1\].*of 1 images"):
            model.generate(**inputs | {"batch_num_images": torch.tensor([1, 1])}, **greedy(tiny))
        with pytest.raises(ValueError, match="placeholders"):
            model.generate(
                **{
                    name: value[:, 4:] if value.ndim == 2 and name != "image_sizes" else value
                    for name, value in inputs.items()
                },
                **greedy(tiny),
            )
    reductions = [Random(retention=0.3)(image) for image in LlavaOnevision(model).encode_images(inputs)]
    with pytest.raises(ValueError, match="2 grids, but 1"):
        models.family(model).splice(inputs, [], reductions[:1])
