import copy
import threading
import warnings
from contextlib import nullcontext

import pytest
import torch
from transformers import GenerationConfig, StaticCache

from tests.models import builders
from vidfold import AOT, Identity, Random, Reduction
from vidfold.folding import fold
from vidfold.models import LlavaOnevision
from vidfold.reducers import FastV

GREEDY = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False}
FULL = {"return_dict_in_generate": True, "output_logits": True}


@pytest.fixture(scope="module")
def small():
    """A 6x6 grid: 9 tokens a frame."""
    return builders.shared(6, 8)


@pytest.fixture(scope="module")
def siglip():
    """The 27x27 grid of SigLIP SO400M: 196 tokens a frame."""
    return builders.shared()


def two_rows(model, frames=2):
    """Two prompts of unequal length with a video each."""
    rows = [builders.prompt(model, frames, words=3), builders.prompt(model, frames, words=8, seed=1)]
    return builders.batch(rows) | {"pixel_values_videos": builders.pixels(model, videos=2, frames=frames)}


def row(model, number, frames=2):
    """One of the two prompts alone."""
    both = two_rows(model, frames)
    mask = both["attention_mask"][number].bool()
    return {
        "input_ids": both["input_ids"][number][mask][None],
        "attention_mask": torch.ones(1, int(mask.sum()), dtype=torch.long),
        "pixel_values_videos": both["pixel_values_videos"][number : number + 1],
    }


def image(model, words=3):
    """A prompt with one image; 6x6 patches, the base image and one tile."""
    size = model.config.vision_config.image_size
    patches = 36 + 36 + 6  # base, tile and a newline a row of the tile
    ids = [1] + [builders.IMAGE] * patches + [20] * words
    pixels = builders.pixels(model, videos=1, frames=2, seed=5)
    return builders.batch([ids]) | {"pixel_values": pixels, "image_sizes": torch.tensor([[size, size]])}


def shape_of(model):
    """Everything about a model object that folding could leave changed."""
    return {
        name: (
            type(module),
            dict(module.__dict__),
            {key: dict(value) for key, value in module.__dict__.items() if "hooks" in key and isinstance(value, dict)},
        )
        for name, module in model.named_modules()
    }


def masked_reference(model, inputs, kept):
    """Logits of the unfolded model at the last position when it may not attend to what was dropped."""
    video = inputs["input_ids"] == builders.VIDEO
    mask = inputs["attention_mask"].clone()
    for number, index in enumerate(kept):
        places = video[number].nonzero()[:-1, 0]
        mask[number, places] = 0
        mask[number, places[index]] = 1
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        return model(**inputs | {"attention_mask": mask}, position_ids=positions).logits[:, -1]


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


def test_model_is_unchanged():
    model = builders.llava_onevision(6, 8)
    inputs = two_rows(model)
    model.generate(**inputs, **GREEDY)  # transformers sets hooks of its own once
    before, config = shape_of(model), copy.deepcopy(model.config)
    with fold(model, Random(retention=0.3)):
        model.generate(**inputs, **GREEDY)
        model(**inputs)
    assert shape_of(model) == before
    assert "generate" not in model.__dict__

    def fail(_):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"), fold(model, fail):
        model.generate(**inputs, **GREEDY)
    assert shape_of(model) == before
    assert model.config.to_dict() == config.to_dict()
    assert model.config._attn_implementation == config._attn_implementation


def test_remove_twice(small):
    inputs = row(small, 0)
    stock = small.generate(**inputs, **GREEDY, **FULL)
    handle = fold(small, Random(retention=0.3))
    small.generate(**inputs, **GREEDY)
    assert handle.last.after == (5,)
    handle.remove()
    handle.remove()
    again = small.generate(**inputs, **GREEDY, **FULL)
    assert torch.equal(again.logits[0], stock.logits[0])
    with fold(small, Identity()) as second:
        handle.remove()
        small.generate(**inputs, **GREEDY)
    assert second.last.after == (18,)


def test_a_with_block_folds_again(small):
    inputs = row(small, 0)
    handle = fold(small, Random(retention=0.3))
    for _ in range(2):
        with handle as entered, torch.no_grad():
            assert entered is handle
            assert small(**inputs).logits.shape[1] == handle.last.prompt_after < inputs["input_ids"].shape[1]
            with pytest.raises(ValueError, match="in a with block already"), handle:
                pass
            small.generate(**inputs, **GREEDY)
            assert handle.last.after == (5,)
        assert not {"generate", "forward"} & vars(small).keys()
    with fold(small, Identity()), pytest.raises(ValueError, match="already folded by Identity"), handle:
        pass
    handle.remove()
    with handle:
        small.generate(**inputs, **GREEDY)
        assert handle.last.after == (5,)
    with torch.no_grad():
        assert small(**inputs).logits.shape[1] == inputs["input_ids"].shape[1]


@pytest.mark.parametrize("method", [Random(retention=0.3), FastV(retention=0.3, layer=1)], ids=["outside", "inside"])
def test_a_method_inside_the_model_is_set_up_again_too(small, method):
    inputs = two_rows(small)
    handle = fold(small, method)
    answers = []
    for _ in range(2):
        with handle:
            answers.append(small.generate(**inputs, **GREEDY, **FULL))
    assert torch.equal(*(torch.stack(each.logits) for each in answers))
    assert not any(module._forward_pre_hooks for module in small.model.modules())


def test_earlier_wrapper_is_restored_and_later_one_stays(small):
    class Wrapper:
        def __init__(self, inner):
            self.inner = inner

        def __call__(self, *args, **kwargs):
            return self.inner(*args, **kwargs)

    model = copy.deepcopy(small)
    inputs = row(model, 0)
    earlier = Wrapper(model.generate)
    model.generate = earlier
    with fold(model, Random(retention=0.3)):
        model.generate(**inputs, **GREEDY)
    assert model.generate is earlier
    handle = fold(model, Random(retention=0.3))
    later = model.generate = Wrapper(model.generate)
    model.generate(**inputs, **GREEDY)
    with pytest.raises(ValueError, match="already folded"):
        fold(model, Identity())
    report = handle.last
    handle.remove()
    assert model.generate is later
    model.generate(**inputs, **GREEDY)
    assert handle.last is report


def test_second_model_is_unaffected(small):
    other = copy.deepcopy(small)
    other.config = small.config
    inputs = two_rows(small)
    stock = other.generate(**inputs, **GREEDY, **FULL)
    before = shape_of(other)
    results = []
    with fold(small, Random(retention=0.2)) as folded:
        threads = [
            threading.Thread(target=lambda: results.append(other.generate(**inputs, **GREEDY, **FULL)))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        small.generate(**inputs, **GREEDY)
        for thread in threads:
            thread.join()
        assert type(small).generate is type(other).generate
        assert folded.last.after == (4, 4)
    for result in results:
        assert torch.equal(result.logits[0], stock.logits[0])
    assert len(results) == 2
    assert shape_of(other) == before


def test_the_report_times_every_stage(small):
    with fold(small, Random(retention=0.3)) as folded:
        assert folded.last is None
        small.generate(**two_rows(small), **GREEDY)
    assert list(folded.last.milliseconds) == ["encode", "fold", "splice"]
    assert str(folded.last).startswith("tokens 36 -> 10 (27.8 %) | encode ")
    assert all(isinstance(each, Reduction) for each in folded.last.reductions)


def test_function_as_reducer(small):
    with fold(small, lambda tokens: Random(retention=0.5)(tokens)) as folded:
        small.generate(**row(small, 0), **GREEDY)
    assert folded.last.after == (9,)


def test_warning_when_nothing_is_folded(small):
    with fold(small, Random(retention=0.999)), pytest.warns(UserWarning, match=r"0\.999.*all of \(18,\)") as warned:
        small.generate(**row(small, 0), **GREEDY)
    assert warned[0].filename == __file__


def test_threads_with_one_folded_model_give_the_same_answers(small):
    inputs = [row(small, number) for number in range(2)]
    answers = {}

    def run(number):
        for _ in range(3):
            answers[number] = small.generate(**inputs[number], **GREEDY)

    with fold(small, AOT.paper(retention=0.3)):
        alone = [small.generate(**each, **GREEDY) for each in inputs]
        threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(torch.equal(answers[number], alone[number]) for number in range(2))


def test_errors_at_fold_time(small):
    with pytest.raises(ValueError, match=r"callable.*0\.1"):
        fold(small, 0.1)
    with pytest.raises(ValueError, match=r"Linear.*llava_onevision"):
        fold(torch.nn.Linear(2, 2), Identity())
    with pytest.raises(ValueError, match="LlavaOnevisionModel has no generate"):
        fold(small.model, Identity())
    with pytest.raises(ValueError, match="another"):
        fold(small, Identity(), family=LlavaOnevision(builders.shared()))
    with fold(small, Random(retention=0.25)), pytest.raises(ValueError, match=r"already folded by Random.*0\.25"):
        fold(small, Identity())
    needy = type("Needy", (), {"needs": {"head_attention"}, "__call__": lambda self, tokens: None})()
    with pytest.raises(ValueError, match="head_attention"):
        fold(small, needy)
    assert "generate" not in small.__dict__


@pytest.mark.parametrize(
    ("change", "quoted"),
    [
        (lambda ids: {"input_ids": ids[:, -3:], "attention_mask": None}, r"\[0\].*\[19\]"),
        (lambda ids: {"input_ids": ids[:, 3:], "attention_mask": None}, r"\[17\].*\[19\]"),
        (lambda ids: {"input_ids": None, "inputs_embeds": torch.zeros(1, 4, 32)}, r"inputs_embeds.*\(1, 4, 32\)"),
        (lambda ids: {"input_ids": None}, "input_ids"),
        (lambda ids: {"mm_encoder_outputs": {"video": object()}}, "mm_encoder_outputs"),
    ],
)
def test_wrong_inputs_raise(small, change, quoted):
    inputs = row(small, 0)
    changed = {name: value for name, value in (inputs | change(inputs["input_ids"])).items() if value is not None}
    with fold(small, Random(retention=0.3)):
        with pytest.raises(ValueError, match=quoted):
            small.generate(**changed, **GREEDY)
        with pytest.raises(ValueError, match=quoted):
            small(**changed)


def test_reducer_with_wrong_return_value_raises(small):
    with fold(small, lambda tokens: tokens.features), pytest.raises(ValueError, match="Tensor"):
        small.generate(**row(small, 0), **GREEDY)


@pytest.mark.parametrize("copied", [lambda cache: cache, copy.deepcopy], ids=["cache", "copy"])
def test_a_folded_cache_is_not_continued_with_another_prompt(small, copied):
    """With the whole prompt, or with new tokens alone that `generate` would take for those in the cache."""
    inputs = row(small, 0)
    pixels = {"pixel_values_videos": inputs["pixel_values_videos"]}
    with fold(small, Random(retention=0.3)):
        output = small.generate(**inputs, **GREEDY, return_dict_in_generate=True)
        held = output.past_key_values.get_seq_length()
        longer = torch.cat([output.sequences, torch.tensor([[20, 21]])], 1)
        turn = torch.arange(20, 20 + held + 3)[None]
        for name in ("past_key_values", "cache"):
            for given in (
                {"input_ids": longer},
                {"input_ids": longer, "attention_mask": torch.ones_like(longer)},
                {"input_ids": longer} | pixels,
                {"input_ids": turn},
                {"input_ids": turn[:, :3]},
                {"input_ids": turn, "attention_mask": torch.ones(1, longer.shape[1], dtype=torch.int64)},
            ):
                with pytest.raises(ValueError, match=f"cache of the call holds {held} tokens"):
                    small.generate(**given, **{name: copied(output.past_key_values)}, **GREEDY)
            for video in ({}, pixels):
                with pytest.raises(ValueError, match=f"cache of the call holds {held} tokens"):
                    small(input_ids=longer, **{name: copied(output.past_key_values)}, **video)
        again = small.generate(input_ids=longer, **pixels, **GREEDY)
    assert again.shape[1] == longer.shape[1] + 5


def test_new_tokens_behind_a_folded_cache_are_all_read_where_the_mask_counts_the_cache(small):
    inputs, turn = row(small, 0), torch.arange(20, 27)[None]
    with fold(small, Random(retention=0.3)), torch.no_grad():
        output = small.generate(**inputs, **GREEDY, return_dict_in_generate=True)
        cache = output.past_key_values
        mask = torch.ones(1, cache.get_seq_length() + 7, dtype=torch.int64)
        expected = small(input_ids=turn, past_key_values=copy.deepcopy(cache)).logits[:, -1]
        for name in ("first turn", "second turn"):
            answer = small.generate(
                input_ids=turn, attention_mask=mask, past_key_values=copy.deepcopy(cache), **GREEDY, **FULL
            )
            torch.testing.assert_close(answer.logits[0], expected, rtol=0, atol=1e-4, msg=name)
        with pytest.raises(ValueError, match="cache of the call holds"):
            small.generate(input_ids=turn, past_key_values=answer.past_key_values, **GREEDY)


def test_caches_of_unfolded_calls_are_continued(small):
    text, turn = builders.batch([[1, 20, 21, 22]])["input_ids"], torch.tensor([[30, 31]])
    inputs = row(small, 0)
    settings = GREEDY | {"return_dict_in_generate": True}

    def conversation():
        first = small.generate(input_ids=text, **settings)
        ids = torch.cat([first.sequences, turn], 1)
        second = small.generate(input_ids=ids, past_key_values=first.past_key_values, **settings)
        return second.sequences

    def reused():
        """A cache of fixed length that held a video, emptied."""
        cache = StaticCache(small.config.get_text_config(), max_cache_len=64)
        small.generate(**inputs, past_key_values=cache, **GREEDY)
        cache.reset()
        first = small.generate(input_ids=text, past_key_values=cache, **settings)
        ids = torch.cat([first.sequences, turn], 1)
        return small.generate(input_ids=ids, past_key_values=cache, **settings).sequences

    stock = conversation(), reused()
    with fold(small, Random(retention=0.3)):
        folded = conversation(), reused()
    for ours, theirs in zip(folded, stock, strict=True):
        assert torch.equal(ours, theirs)


def test_keeping_everything_leaves_a_cache_that_is_continued(small):
    inputs = row(small, 0)
    settings = GREEDY | {"return_dict_in_generate": True}
    answers = []
    for method in (None, Identity(), FastV(retention=0.5, layer=1)):
        with nullcontext() if method is None else fold(small, method):
            first = small.generate(**inputs, **settings)
            ids = torch.cat([first.sequences, torch.tensor([[30, 31]])], 1)
            answers.append(small.generate(input_ids=ids, past_key_values=first.past_key_values, **settings))
    assert torch.equal(answers[1].sequences, answers[0].sequences)
    assert answers[2].past_key_values.get_seq_length() == answers[0].past_key_values.get_seq_length()
