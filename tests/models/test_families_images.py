"""Prompts of every model family with several videos, images, or neither."""

import pytest
import torch

from tests.models.matrix import STEPS, WORDS, Keep, greedy, masked, some
from vidfold import AOT, Identity, Random, fold


def test_several_videos_in_one_prompt(case, model):
    inputs = case.inputs(model, prompts=(3,), frames=((2, 2),))
    assert len(case.visual(model, inputs)) == 2
    kept = some(case, model, inputs)
    with torch.no_grad():
        expected = model(**inputs).logits
        with fold(model, Identity()):
            torch.testing.assert_close(model(**inputs).logits, expected, rtol=0, atol=1e-4)
        with fold(model, Keep(kept)) as folded:
            logits = model(**inputs).logits[:, -1]
    assert folded.last.after == tuple(map(len, kept))
    torch.testing.assert_close(logits, masked(case, model, inputs, kept), rtol=0, atol=1e-4)


def test_a_row_without_video(case, model):
    inputs = case.inputs(model, prompts=WORDS, frames=((2,), ()))
    kept = some(case, model, inputs)
    with fold(model, Keep(kept)), torch.no_grad():
        logits = model(**inputs).logits[:, -1]
        beams = model.generate(**inputs, **greedy(case), num_beams=2)
    torch.testing.assert_close(logits, masked(case, model, inputs, kept), rtol=0, atol=1e-4)
    alone = model.generate(**case.inputs(model, prompts=WORDS[1:], frames=((),)), **greedy(case), num_beams=2)
    assert torch.equal(beams[1, -STEPS:], alone[0, -STEPS:])


def test_text_passes_through(case, model):
    inputs = case.inputs(model, prompts=(4,), frames=((),))
    stock = model.generate(**inputs, **greedy(case))
    with fold(model, Random(retention=0.1)) as folded:
        assert torch.equal(model.generate(**inputs, **greedy(case)), stock)
    assert folded.last.reductions == ()


@pytest.mark.parametrize("images", [(1,), (2,)], ids=str)
def test_images_alone_pass_through(case, model, images):
    if not case.IMAGES:
        return
    inputs = case.inputs(model, prompts=(4,), frames=((),), images=images)
    stock = model.generate(**inputs, **greedy(case))
    with fold(model, Random(retention=0.1)) as folded:
        assert torch.equal(model.generate(**inputs, **greedy(case)), stock)
        assert folded.last.reductions == ()
        with torch.no_grad():
            model(**inputs)
    assert folded.last.reductions == ()


def test_images_beside_videos_stay_whole(case, model):
    if not case.IMAGES:
        return
    inputs = case.inputs(model, prompts=WORDS, frames=((2,), (2,)), images=(1, 2))
    kept = some(case, model, inputs)
    with torch.no_grad():
        stock = model(**inputs).logits
        with fold(model, Identity()):
            torch.testing.assert_close(model(**inputs).logits, stock, rtol=0, atol=1e-4)
        with fold(model, Keep(kept)):
            logits = model(**inputs).logits[:, -1]
            beams = model.generate(**inputs, **greedy(case), num_beams=2)
        torch.testing.assert_close(logits, masked(case, model, inputs, kept), rtol=0, atol=1e-4)
        for number in range(2):
            alone = case.inputs(model, prompts=WORDS[number : number + 1], frames=((2,),), images=(1 + number,))
            with fold(model, Keep(kept[number:])):
                answer = model.generate(**alone, **greedy(case), num_beams=2)
            assert torch.equal(beams[number, -STEPS:], answer[0, -STEPS:])


@pytest.mark.parametrize("frames", [((),), ((2,),)], ids=str)
@pytest.mark.parametrize("images", [(1,), (2,)], ids=str)
def test_images_folded_too(case, model, frames, images):
    inputs = case.inputs(model, prompts=(4,), frames=frames, images=images)
    with torch.no_grad():
        stock = model(**inputs).logits
        with fold(model, Identity(), images=True):
            torch.testing.assert_close(model(**inputs).logits, stock, rtol=0, atol=1e-4)
        for method in (AOT(retention=0.3), AOT.paper(retention=0.3)):
            with fold(model, method, images=True) as folded:
                output = model.generate(**inputs, **greedy(case), num_beams=2, return_dict_in_generate=True)
            # A family may read an image in two grids.
            assert folded.last.images >= images[0]
            shown = folded.last.reductions[-folded.last.images :]
            assert all(len(each) - each.newlines == method.count(1, each.full) for each in shown)
            assert output.past_key_values.get_seq_length() == folded.last.prompt_after + STEPS - 1
