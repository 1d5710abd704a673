"""What a folded model answers."""

import copy
import warnings

import pytest
import torch
from transformers import GenerationConfig

from tests.folding.calls import FULL, GREEDY, image, masked_reference, row, two_rows
from tests.models import builders
from vidfold import Identity, Random
from vidfold.folding import fold


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("side", [27, 6])
def test_keeping_everything_changes_nothing(side, attention):
    model = builders.shared(side, 14 if side == 27 else 8, attention=attention)
    inputs = two_rows(model)
    stock = model.generate(**inputs, **GREEDY, **FULL)
    with torch.no_grad():
        logits = model(**inputs).logits
    with fold(model, Identity()):
        folded = model.generate(**inputs, **GREEDY, **FULL)
        with torch.no_grad():
            torch.testing.assert_close(model(**inputs).logits, logits, rtol=0, atol=1e-4)
    assert torch.equal(folded.sequences, stock.sequences)
    for ours, theirs in zip(folded.logits, stock.logits, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("counts", [(61, 26), (3, 392), (1, 1)])
def test_dropping_equals_masking(siglip, counts):
    inputs = two_rows(siglip)
    kept = builders.scattered(*counts, full=2 * 196)
    with fold(siglip, builders.Scattered(kept)) as folded:
        output = siglip.generate(**inputs, **GREEDY, **FULL)
    reference = masked_reference(siglip, inputs, kept)
    torch.testing.assert_close(output.logits[0], reference, rtol=0, atol=1e-4)
    assert folded.last.before == (392, 392)
    assert folded.last.after == counts
    assert folded.last.newlines == (1, 1)
    texts = inputs["attention_mask"].sum(1) - 392
    assert folded.last.prompt_after == max(text + count for text, count in zip(texts, counts, strict=True))
    assert folded.last.prompt_before == inputs["input_ids"].shape[1]


def test_answers_of_the_test_model_depend_on_the_video(siglip):
    inputs = two_rows(siglip)
    other = inputs | {"pixel_values_videos": builders.pixels(siglip, 2, 2, seed=7)}
    with torch.no_grad():
        difference = siglip(**inputs).logits[:, -1] - siglip(**other).logits[:, -1]
    assert difference.abs().amax(1).min() > 0.1


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"num_beams": 3},
        {"num_beams": 3, "num_return_sequences": 2},
        {"cache_implementation": "static"},
        {"use_cache": False},
        {"prefill_chunk_size": 7},
    ],
    ids=str,
)
def test_batch_equals_its_rows(small, settings):
    kept = builders.scattered(5, 11, full=18)
    settings = GREEDY | settings
    inputs = two_rows(small)
    with fold(small, builders.Scattered(kept)):
        together = small.generate(**inputs, **settings)
    copies = settings.get("num_return_sequences", 1)
    assert together.shape == (2 * copies, inputs["input_ids"].shape[1] + 5)
    for number in range(2):
        alone = row(small, number)
        with fold(small, builders.Scattered(kept[number:])):
            answer = small.generate(**alone, **settings)
        part = together[number * copies : (number + 1) * copies]
        assert torch.equal(part[:, -5:], answer[:, -5:])
        assert torch.equal(part[:, : inputs["input_ids"].shape[1]], inputs["input_ids"][[number] * copies])


def test_several_videos_in_one_prompt(small):
    rows = [builders.prompt(small, videos=2), builders.prompt(small, videos=1, words=9, seed=1)]
    inputs = builders.batch(rows) | {"pixel_values_videos": builders.pixels(small, videos=3)}
    kept = builders.scattered(4, 18, 7, full=18)
    with fold(small, builders.Scattered(kept)) as folded:
        output = small.generate(**inputs, **GREEDY, **FULL)
        beams = small.generate(**inputs, **GREEDY, num_beams=2)
    assert folded.last.after == (4, 18, 7)
    first = {name: value[:1] for name, value in inputs.items()} | {"pixel_values_videos": builders.pixels(small, 3)[:2]}
    with fold(small, builders.Scattered(kept[:2])):
        alone = small.generate(**first, **GREEDY, **FULL)
        alone_beams = small.generate(**first, **GREEDY, num_beams=2)
    torch.testing.assert_close(output.logits[0][:1], alone.logits[0], rtol=0, atol=1e-4)
    assert torch.equal(beams[0, -5:], alone_beams[0, -5:])


def test_sampling_with_several_answers(small):
    inputs = two_rows(small)
    with fold(small, Random(retention=0.3)):
        torch.manual_seed(0)
        output = small.generate(**inputs, max_new_tokens=4, do_sample=True, num_return_sequences=3)
    length = inputs["input_ids"].shape[1]
    assert output.shape[0] == 6
    assert torch.equal(output[:, :length], inputs["input_ids"].repeat_interleave(3, 0))


def test_cache_and_scores_are_those_of_the_short_prompt(siglip):
    inputs = row(siglip, 0)
    with fold(siglip, Random(retention=0.1)) as folded:
        output = siglip.generate(**inputs, **GREEDY, return_dict_in_generate=True, output_scores=True)
    assert folded.last.after == (39,)
    short = inputs["input_ids"].shape[1] - 392 + 39
    assert folded.last.prompt_after == short
    assert output.past_key_values.get_seq_length() == short + 4  # the last token made is not yet read
    assert output.past_key_values.layers[0].keys.shape[2] == short + 4
    assert len(output.scores) == 5
    assert torch.equal(output.sequences[:, : inputs["input_ids"].shape[1]], inputs["input_ids"])


def test_bfloat16():
    model = builders.llava_onevision(6, 8).bfloat16()
    inputs = two_rows(model)
    with fold(model, builders.Scattered(builders.scattered(6, 9, full=18))):
        assert model.generate(**inputs, **GREEDY).shape[1] == inputs["input_ids"].shape[1] + 5
        assert model(**inputs).logits.dtype == torch.bfloat16


def test_ids_may_be_given_by_position(small):
    inputs = row(small, 0)
    ids, pixels = inputs["input_ids"], inputs["pixel_values_videos"]
    with fold(small, Random(retention=0.3)) as folded, torch.no_grad():
        named = small.generate(**inputs, **GREEDY)
        assert torch.equal(small.generate(ids, pixel_values_videos=pixels, **GREEDY), named)
        assert torch.equal(small.generate(inputs=ids, pixel_values_videos=pixels, **GREEDY), named)
        logits = small(**inputs).logits
        assert torch.equal(small(ids, None, None, pixels).logits, logits)
    assert folded.last.after == (5,)


@pytest.mark.parametrize("place", ["arguments", "config", "model"])
def test_lengths_count_the_prompt_as_given(small, place, monkeypatch):
    model = copy.deepcopy(small)
    inputs = row(model, 0)
    length = inputs["input_ids"].shape[1]
    limits = {"max_length": length + 3, "min_length": length + 3, "do_sample": False}
    if place == "config":
        limits = {"generation_config": GenerationConfig(**limits, pad_token_id=0, eos_token_id=2)}
    if place == "model":
        model.generation_config.max_length = model.generation_config.min_length = length + 3
        limits = {"do_sample": False}
    said = []
    for name in ("warning", "warning_once"):
        monkeypatch.setattr(f"transformers.generation.utils.logger.{name}", said.append)
    with fold(model, Random(retention=0.3)):
        assert model.generate(**inputs, **limits).shape[1] == length + 3
        assert said == []
        assert model.generate(**inputs, **limits | {"max_new_tokens": 2, "min_new_tokens": 2}).shape[1] == length + 2


def test_forward_shortens_labels_with_the_prompt(small):
    inputs = two_rows(small)
    ids = inputs["input_ids"]
    labels = ids.masked_fill(ids < builders.WORDS, -100)
    kept = builders.scattered(5, 11, full=18)
    with fold(small, builders.Scattered(kept)), torch.no_grad():
        output = small(**inputs, labels=labels)
    losses, words = [], []
    for number in range(2):
        alone = row(small, number)
        own = labels[number][inputs["attention_mask"][number].bool()][None]
        with fold(small, builders.Scattered(kept[number:])), torch.no_grad():
            single = small(**alone, labels=own)
        length = single.logits.shape[1]
        torch.testing.assert_close(output.logits[number, -length:], single.logits[0], rtol=0, atol=1e-4)
        losses.append(single.loss)
        words.append((own[:, 1:] != -100).sum())
    expected = (torch.stack(losses) * torch.stack(words)).sum() / torch.stack(words).sum()
    torch.testing.assert_close(output.loss, expected)


def test_training_on_the_right_padded():
    model = builders.llava_onevision(6, 8)
    rows = [builders.prompt(model, words=3), builders.prompt(model, words=8, seed=1)]
    inputs = builders.batch(rows, side="right")
    labels = inputs["input_ids"].masked_fill(inputs["input_ids"] < builders.WORDS, -100)
    with fold(model, Random(retention=0.3)):
        loss = model(**inputs, labels=labels, pixel_values_videos=builders.pixels(model, 2)).loss
        loss.backward()
    assert model.lm_head.weight.grad.abs().sum() > 0
    assert model.model.language_model.layers[0].mlp.up_proj.weight.grad.abs().sum() > 0
    assert model.model.multi_modal_projector.linear_1.weight.grad.abs().sum() > 0


def test_text_and_images_pass_through_and_are_reported_as_not_reduced(small):
    text = builders.batch([[1, 20, 21, 22]])
    for inputs in (text, image(small)):
        stock = small.generate(**inputs, **GREEDY)
        with torch.no_grad():
            logits = small(**inputs).logits
        with fold(small, Random(retention=0.1)) as folded, warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("error")
            assert torch.equal(small.generate(**inputs, **GREEDY), stock)
            assert folded.last.reductions == ()
            assert folded.last.prompt_after == inputs["input_ids"].shape[1]
            assert torch.equal(small(**inputs).logits, logits)
            assert folded.last.reductions == ()


def test_decoding_step_by_step_keeps_the_report(small):
    inputs = row(small, 0)
    with fold(small, Random(retention=0.3)) as folded, torch.no_grad():
        generated = small.generate(**inputs, **GREEDY)[:, -5:]
        output = small(**inputs)
        tokens = [output.logits[:, -1:].argmax(-1)]
        for _ in range(4):
            output = small(input_ids=tokens[-1], past_key_values=output.past_key_values)
            tokens.append(output.logits[:, -1:].argmax(-1))
        assert folded.last.after == (5,)
    assert torch.equal(torch.cat(tokens, 1), generated)


def test_a_video_and_an_image_in_one_prompt(small):
    video, picture = row(small, 0), image(small)
    inputs = {name: torch.cat([video[name], picture[name]], 1) for name in ("input_ids", "attention_mask")}
    inputs |= {"pixel_values_videos": video["pixel_values_videos"]}
    inputs |= {name: picture[name] for name in ("pixel_values", "image_sizes")}
    stock = small.generate(**inputs, **GREEDY, **FULL)
    with fold(small, Identity()):
        same = small.generate(**inputs, **GREEDY, **FULL)
    torch.testing.assert_close(same.logits[0], stock.logits[0], rtol=0, atol=1e-4)
    kept = builders.scattered(5, full=18)
    with fold(small, builders.Scattered(kept)), torch.no_grad():
        output = small.generate(**inputs, **GREEDY, **FULL)
        logits = small(**inputs).logits[:, -1]
    reference = masked_reference(small, inputs, kept)
    torch.testing.assert_close(output.logits[0], reference, rtol=0, atol=1e-4)
    torch.testing.assert_close(logits, reference, rtol=0, atol=1e-4)
