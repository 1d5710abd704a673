"""What only InternVL does; `test_families` has the rest."""

import functools
import re

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import BPE
from transformers import InternVLProcessor, PreTrainedTokenizerFast
from transformers.models.got_ocr2.image_processing_got_ocr2 import GotOcr2ImageProcessor
from transformers.models.internvl.video_processing_internvl import InternVLVideoProcessor

from tests.models import internvl_model as tiny
from tests.models.matrix import Keep, greedy
from vidfold import AOT, Identity, Pooling, Random, Reduction, fold, models
from vidfold.models import InternVL
from vidfold.models.prompts.tiles import visuals
from vidfold.reducers import FastV

ALL = frozenset({"shallow", "deep", "keys"})
WORD, LINE = 40, tiny.LINE


@functools.cache
def built(text="qwen2", attention="sdpa"):
    return tiny.build(attention=attention, text=text)


def prompt(*parts, seed=0):
    """Inputs of one row of these parts of tokens, a line each."""
    ids = [1, *[token for part in parts for token in [*part, LINE]], WORD, WORD + 1]
    made = tiny.builders.batch([ids])
    count = int((made["input_ids"] == tiny.IMAGE).sum()) // tiny.CELLS
    return made | {"pixel_values": tiny.pixels(count, seed)}


def processor():
    """The real one, with a tokenizer of bytes that knows the word Frame, as those of published models do."""
    merges = [("F", "r"), ("Fr", "a"), ("Fra", "m"), ("Fram", "e")]
    tokens = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *map("".join, merges)]
    tokenizer = Tokenizer(BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    names = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    size = {"height": 24, "width": 24}
    return InternVLProcessor(
        image_processor=GotOcr2ImageProcessor(size=size, max_patches=4),
        tokenizer=PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", extra_special_tokens=names),
        video_processor=InternVLVideoProcessor(size=size),
        image_seq_length=tiny.CELLS,
    )


def test_prompts_of_the_real_processor():
    make = processor()
    video = [np.zeros((12, 30, 40, 3), np.uint8)] * 2
    images = [np.zeros((30, 80, 3), np.uint8), np.zeros((30, 30, 3), np.uint8), np.zeros((30, 30, 3), np.uint8)]
    text = "<video>\n<video>\n<IMG_CONTEXT>\n<IMG_CONTEXT>\n<IMG_CONTEXT>\nWhat?"
    inputs = make(text=[text], videos=[video], images=[images], return_tensors="pt")
    found = visuals(inputs["input_ids"], make.image_token_id, tiny.CELLS)
    assert found.video.tolist() == [True, True, False, False, False]
    assert found.tiles.tolist()[:2] == [12, 12]
    assert found.tiles[2] > 1
    assert found.tiles.tolist()[3:] == [1, 1]
    assert int(found.tiles.sum()) == len(inputs["pixel_values"])


def test_tokens_come_on_their_own_grid():
    model = built()
    inputs = prompt(tiny.video(3))
    (video,) = models.encode(model, inputs, ALL)
    with torch.no_grad():
        stock = model.model.get_image_features(inputs["pixel_values"], return_dict=True).pooler_output
    assert video.grid == video.language_grid == (3, 3)
    assert video.pooling is Pooling.NONE
    torch.testing.assert_close(video.features, stock, rtol=0, atol=1e-6)


def test_cls_token_attends_but_has_no_cell():
    """Four patches a cell: 37 queries are shared by 36 patches and the CLS token."""
    model = built()
    (video,) = models.encode(model, prompt(tiny.video(2)), ALL)
    inside = 4 * video.deep.sum(1)
    assert (inside < 37).all()
    assert (inside > 30).all()


def test_keys_are_averaged_over_the_patches_of_a_token():
    model, seen = built(), []
    inputs = prompt(tiny.video(2))
    attention = model.model.vision_tower.encoder.layer[-1].attention
    hook = attention.k_norm.register_forward_hook(lambda *call: seen.append(call[2]))
    (video,) = models.encode(model, inputs, ALL)
    hook.remove()
    heads = seen[0][:, 1:].unflatten(-1, (2, 16)).mean(2)
    expected = heads.view(2, 3, 2, 3, 2, 16).mean((2, 4)).flatten(1, 2)
    torch.testing.assert_close(video.keys, expected, rtol=0, atol=1e-5)


def test_feature_layer_of_the_config_is_used():
    model = built()
    inputs = prompt(tiny.video(2)) | {"vision_feature_layer": -2}
    (video,) = models.encode(model, inputs, ALL)
    with torch.no_grad():
        stock = model.model.get_image_features(
            inputs["pixel_values"], vision_feature_layer=-2, return_dict=True
        ).pooler_output
    torch.testing.assert_close(video.features, stock, rtol=0, atol=1e-6)
    assert InternVL(model).observed_layers(inputs) == {"shallow": 1, "deep": 1}


def test_pixels_without_a_prompt_are_one_video():
    (video,) = models.encode(built(), {"pixel_values": tiny.pixels(5, 0)})
    assert video.frames == 5


def test_internvl3_5_has_a_qwen3_language_model():
    model = built("qwen3")
    inputs = tiny.inputs(model, prompts=(3, 8), frames=((2,), (3,)))
    stock = model.generate(**inputs, **greedy(tiny))
    with fold(model, Identity()):
        assert torch.equal(model.generate(**inputs, **greedy(tiny)), stock)
    with fold(model, AOT.paper(retention=0.2)) as folded:
        model.generate(**inputs, **greedy(tiny))
    assert folded.last.after == (4, 5)


def test_images_between_videos_keep_their_place():
    model = built()
    inputs = prompt(tiny.image(2), tiny.video(2), tiny.image(1), tiny.video(3), tiny.image(1))
    with torch.no_grad():
        stock = model(**inputs).logits
        for images in (False, True):
            with fold(model, Identity(), images=images) as folded:
                torch.testing.assert_close(model(**inputs).logits, stock, rtol=0, atol=1e-4)
            assert folded.last.before == (18, 27) + (18, 9, 9) * images
        kept = (torch.tensor([3, 9, 17]), torch.tensor([0]))
        hidden = tiny.visual(model, inputs)
        mask = inputs["attention_mask"].clone()
        for (_, columns), index in zip(hidden, kept, strict=True):
            mask[0, columns] = 0
            mask[0, columns[index]] = 1
        expected = model(**inputs | {"attention_mask": mask}, position_ids=(mask.cumsum(1) - 1).clamp(min=0)).logits
        with fold(model, Keep(kept)):
            torch.testing.assert_close(model(**inputs).logits[:, -1], expected[:, -1], rtol=0, atol=1e-4)


def test_image_is_one_frame_of_stacked_tiles():
    inputs = prompt(tiny.image(3))
    (image,) = InternVL(built()).encode_images(inputs, ALL)
    with torch.no_grad():
        tiles = built().model.get_image_features(inputs["pixel_values"], return_dict=True).pooler_output
    assert image.frames == 1
    assert image.grid == (9, 3)
    torch.testing.assert_close(image.features[0], tiles.flatten(0, 1), rtol=0, atol=1e-5)
    with fold(built(), AOT.paper(retention=0.3), images=True) as folded:
        built().generate(**inputs, **greedy(tiny))
    assert folded.last.after == (8,)


def test_video_frames_argument():
    model = built()
    one, two = prompt(tiny.video(1)), prompt(tiny.video(2))
    stock = model.generate(**two, **greedy(tiny))
    with torch.no_grad():
        logits = model(**two).logits
    with fold(model, Random(retention=0.3)) as folded:
        model.generate(**one, **greedy(tiny))
        assert folded.last.reductions == ()
        for frames in ((1,), [1], torch.tensor([1])):
            model.generate(**one, video_frames=frames, **greedy(tiny))
            assert folded.last.after == (3,)
        assert torch.equal(model.generate(**two, video_frames=(0, 0), **greedy(tiny)), stock)
        assert folded.last.reductions == ()
        with torch.no_grad():
            assert torch.equal(model(**two, video_frames=(0, 0)).logits, logits)
            model(**two, video_frames=(1, 1))
        assert folded.last.before == (9, 9)
        model(**two)
        assert folded.last.before == (18,)
    assert len(models.encode(model, one | {"video_frames": (1,)})) == 1
    with fold(model, FastV(retention=0.3, layer=1)) as folded:
        model.generate(**one, video_frames=(1,), **greedy(tiny))
        assert folded.last.layers == (9, 3)


@pytest.mark.parametrize("frames", [(2, -1), (1.5,), (3,), (1,)])
def test_error_quotes_wrong_frames(frames):
    model = built()
    with fold(model, Random(retention=0.3)), pytest.raises(ValueError, match=re.escape(repr(frames[0]))):
        model.generate(**prompt(tiny.video(2)), video_frames=frames, **greedy(tiny))


@pytest.mark.parametrize("images", [False, True])
def test_the_prompts_of_a_call_are_read_once(images, monkeypatch):
    model, calls = built(), []

    def counted(*arguments):
        calls.append(arguments)
        return visuals(*arguments)

    monkeypatch.setattr("vidfold.models.internvl.visuals", counted)
    inputs = prompt(tiny.video(3), tiny.image(2))
    with fold(model, AOT(retention=0.3), images=images):
        model.generate(**inputs, **greedy(tiny))
        assert len(calls) == 1
        with torch.no_grad():
            model(**inputs)
        assert len(calls) == 2
    reductions = [Identity()(each) for each in models.encode(model, inputs)]
    models.splice(model, inputs, reductions)
    assert len(calls) == 4


def test_tokens_stay_in_their_frame():
    """Text stands between frames, so the order of a method's tokens must not move them from one to the other."""
    model = built()
    inputs = prompt(tiny.video(2))

    def kept(order):
        def reduce(tokens):
            index = torch.tensor([1, 4, 12, 17])[order]
            return Reduction(tokens.pooled().flatten(0, 1)[index], index // 9, index % 9, tokens.language_grid, 18)

        return reduce

    with torch.no_grad():
        logits = []
        for order in ([0, 1, 2, 3], [3, 1, 2, 0]):
            with fold(model, kept(order)):
                logits.append(model(**inputs).logits)
    torch.testing.assert_close(*logits, rtol=0, atol=1e-5)


def test_a_method_inside_the_language_model():
    model = built()
    inputs = prompt(tiny.image(2), tiny.video(3))
    with fold(model, FastV(retention=0.3, layer=1)) as folded:
        output = model.generate(**inputs, **greedy(tiny), return_dict_in_generate=True)
    assert folded.last.layers == (27, 8)
    first, second = (int(layer.get_seq_length()) for layer in output.past_key_values.layers)
    assert first - second == 27 - 8


@pytest.mark.parametrize(
    ("settings", "quoted"),
    [
        ({"deep_layer": 7}, "deep_layer.*7"),
    ],
)
def test_bad_settings(settings, quoted):
    with pytest.raises(ValueError, match=quoted):
        InternVL(built(), **settings)


@pytest.mark.parametrize(
    ("change", "quoted"),
    [
        ({"pixel_values": tiny.pixels(3, 0)}, "placeholders of 2 pictures, but pixel_values are 3"),
        ({"pixel_values": tiny.pixels(2, 0)[0]}, r"\(3, 24, 24\)"),
        ({"pixel_values": [1]}, "list"),
        ({"input_ids": torch.tensor([[1, WORD]]), "attention_mask": torch.ones(1, 2)}, "placeholders of 0 pictures"),
    ],
)
def test_wrong_inputs_raise(change, quoted):
    model = built()
    with fold(model, Random(retention=0.3)), pytest.raises(ValueError, match=quoted):
        model.generate(**prompt(tiny.video(2)) | change, **greedy(tiny))
