"""Methods inside the language model, through `fold`."""

import copy
import threading
import warnings

import pytest
import torch
from transformers import CompileConfig, DynamicCache, StaticCache

from tests.folding.calls import FULL, image, row, shape_of, two_rows
from tests.models import builders, oracles
from vidfold import Identity, Random, fold
from vidfold.reducers.inner import FastV, PyramidDrop

# Without a cache, whole prompts are read at every step: an answer must not hold places of a video.
PLAIN = {"min_new_tokens": 5, "max_new_tokens": 5, "suppress_tokens": oracles.NEVER}
GREEDY = PLAIN | {"do_sample": False}
METHODS = [FastV(retention=0.5), FastV(retention=0.1, layer=1), PyramidDrop()]
methods = pytest.mark.parametrize("method", METHODS, ids=repr)


@pytest.fixture(scope="module")
def model():
    """A 6x6 grid, 9 tokens a frame, and a language model of four layers."""
    return builders.shared(6, 8, layers=4)


@pytest.fixture(scope="module")
def eager():
    """The same with eager attention, for the oracle."""
    return builders.shared(6, 8, layers=4, attention="eager")


def lengths(cache):
    return [int(layer.get_seq_length()) for layer in cache.layers]


@methods
def test_answer_equals_full_forwards_with_masked_keys(model, eager, method):
    inputs = two_rows(model)
    with fold(model, method):
        output = model.generate(**inputs, **GREEDY, **FULL)
    expected = oracles.answer(eager, inputs, method.schedule(4), steps=5)
    torch.testing.assert_close(torch.stack(output.logits), expected, rtol=0, atol=1e-4)
    assert torch.equal(output.sequences[:, -5:], oracles.greedy(expected).T)
    assert torch.equal(output.sequences[:, :-5], inputs["input_ids"])


@methods
def test_answers_of_the_test_model_change_when_tokens_are_dropped(model, method):
    inputs = two_rows(model)
    with torch.no_grad():
        stock = model(**inputs).logits[:, -1]
        with fold(model, method):
            dropped = model(**inputs).logits[:, -1]
    assert (stock - dropped).abs().amax(1).min() > 0.01


@pytest.mark.parametrize("method", [FastV(retention=1.0), PyramidDrop(ratio=1.0)], ids=repr)
def test_keeping_everything_is_exact(model, method):
    inputs = two_rows(model)
    stock = model.generate(**inputs, **GREEDY, **FULL)
    labels = inputs["input_ids"].masked_fill(inputs["input_ids"] < builders.WORDS, -100)
    with torch.no_grad():
        expected = model(**inputs, labels=labels)
    with fold(model, method) as folded, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("error")
        output = model.generate(**inputs, **GREEDY, **FULL)
        forward = model(**inputs, labels=labels)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(output.logits, stock.logits, strict=True))
    assert torch.equal(forward.logits, expected.logits)
    assert torch.equal(forward.loss, expected.loss)
    assert folded.last.layers == (36,) * 4


def test_warning_when_nothing_is_dropped(model):
    with fold(model, FastV(retention=0.999)), pytest.warns(UserWarning, match=r"0\.999.*all of \(18,\)") as warned:
        model.generate(**row(model, 0), **GREEDY)
    assert warned[0].filename == __file__


@methods
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"num_beams": 3, "num_return_sequences": 2},
        {"cache_implementation": "static"},
        {"cache_implementation": "static", "num_beams": 2},
        {"use_cache": False, "num_beams": 2},
    ],
    ids=str,
)
def test_batch_equals_its_rows(model, method, settings):
    settings = GREEDY | settings
    inputs = two_rows(model)
    copies = settings.get("num_return_sequences", 1)
    with fold(model, method):
        together = model.generate(**inputs, **settings)
        alone = [model.generate(**row(model, number), **settings) for number in range(2)]
    assert together.shape == (2 * copies, inputs["input_ids"].shape[1] + 5)
    for number in range(2):
        part = together[number * copies : (number + 1) * copies]
        assert torch.equal(part[:, -5:], alone[number][:, -5:])
        assert torch.equal(part[:, :-5], inputs["input_ids"][[number] * copies])


@methods
@pytest.mark.parametrize("settings", [{"cache_implementation": "static"}, {"use_cache": False}], ids=str)
def test_every_kind_of_cache_gives_the_same_logits(model, method, settings):
    with fold(model, method):
        expected = model.generate(**two_rows(model), **GREEDY, **FULL)
        output = model.generate(**two_rows(model), **GREEDY, **FULL, **settings)
    torch.testing.assert_close(torch.stack(output.logits), torch.stack(expected.logits), rtol=0, atol=1e-4)


def test_exact_halves_of_unequal_videos(model, eager):
    rows = [builders.prompt(model, videos=2), builders.prompt(model, videos=1, words=21, seed=1)]
    inputs = builders.batch(rows) | {"pixel_values_videos": builders.pixels(model, videos=3)}
    with fold(model, FastV(retention=0.3)) as folded:
        output = model.generate(**inputs, **GREEDY, **FULL)
    expected = oracles.answer(eager, inputs, FastV(retention=0.3).schedule(4), steps=5)
    torch.testing.assert_close(torch.stack(output.logits), expected, rtol=0, atol=1e-4)
    assert folded.last.before == folded.last.after == (18, 18, 18)
    assert folded.last.layers == (54, 54, 15, 15)
    words = [len(each) - 18 * (2 - number) for number, each in enumerate(rows)]
    longest = max(words[0] + 10, words[1] + 5)
    assert lengths(output.past_key_values) == [max(map(len, rows)) + 4] * 2 + [longest + 4] * 2


def test_rows_of_equal_length_that_become_unequal(model, eager):
    rows = [builders.prompt(model, videos=2, words=4), builders.prompt(model, videos=1, words=24, seed=1)]
    assert len(rows[0]) == len(rows[1])
    inputs = builders.batch(rows) | {"pixel_values_videos": builders.pixels(model, videos=3)}
    for method in METHODS:
        with fold(model, method):
            output = model.generate(**inputs, **GREEDY, **FULL)
        expected = oracles.answer(eager, inputs, method.schedule(4), steps=5)
        torch.testing.assert_close(torch.stack(output.logits), expected, rtol=0, atol=1e-4)


def test_rows_without_padding_before_and_after(model, eager):
    inputs = row(model, 1)
    for method in METHODS:
        for settings in ({}, {"cache_implementation": "static"}):
            with fold(model, method):
                output = model.generate(**inputs, **GREEDY, **FULL, **settings)
            expected = oracles.answer(eager, inputs, method.schedule(4), steps=5)
            torch.testing.assert_close(torch.stack(output.logits), expected, rtol=0, atol=1e-4)


@methods
@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_cache_length_equals_tokens_read(model, method, cache):
    inputs = row(model, 0)
    with fold(model, method) as folded:
        output = model.generate(**inputs, **GREEDY, **FULL, cache_implementation=cache)
    text = inputs["input_ids"].shape[1] - 18
    assert lengths(output.past_key_values) == [text + kept + 4 for kept in folded.last.layers]
    sizes = [layer.keys.shape[2] for layer in output.past_key_values.layers]
    room = sizes[0] - (text + 18 + 4)
    assert sizes == [text + kept + 4 + room for kept in folded.last.layers]


def test_given_static_cache_keeps_its_size(model):
    inputs = row(model, 0)
    cache = StaticCache(model.config.get_text_config(), max_cache_len=64)
    stock = model.generate(**inputs, **GREEDY, **FULL)
    with fold(model, FastV(retention=0.5)):
        expected = model.generate(**inputs, **GREEDY, **FULL)
        for _ in range(2):
            output = model.generate(**inputs, **GREEDY, **FULL, past_key_values=cache)
            torch.testing.assert_close(torch.stack(output.logits), torch.stack(expected.logits), rtol=0, atol=1e-4)
            assert [layer.keys.shape[2] for layer in cache.layers] == [64] * 4
            cache.reset()
    output = model.generate(**inputs, **GREEDY, **FULL, past_key_values=cache)
    torch.testing.assert_close(torch.stack(output.logits), torch.stack(stock.logits), rtol=0, atol=1e-4)


def test_reset_cache_is_usable_by_any_call(model):
    inputs, text = row(model, 0), builders.batch([[1, 20, 21, 22]])
    cache = StaticCache(model.config.get_text_config(), max_cache_len=64)
    with torch.no_grad():
        expected = model(**text).logits
        with fold(model, FastV(retention=0.5)):
            model(**inputs, past_key_values=cache)
            cache.reset()
            assert torch.allclose(model(**text, past_key_values=cache).logits, expected, atol=1e-4)
            following = model(input_ids=torch.tensor([[30]]), past_key_values=cache).logits[:, -1]
        longer = builders.batch([[1, 20, 21, 22, 30]])
        torch.testing.assert_close(following, model(**longer).logits[:, -1], rtol=0, atol=1e-4)


def test_compiled_model_runs_uncompiled(model):
    compiled = CompileConfig(backend="eager", fullgraph=False, mode=None)
    compiled._compile_all_devices = True
    settings = GREEDY | FULL | {"cache_implementation": "static", "compile_config": compiled}
    model = copy.deepcopy(model)
    inputs = row(model, 0)
    model.generate(**inputs, **settings)
    with fold(model, FastV(retention=0.3)):
        expected = model.generate(**inputs, **GREEDY, **FULL)
        output = model.generate(**inputs, **settings)
    torch.testing.assert_close(torch.stack(output.logits), torch.stack(expected.logits), rtol=0, atol=1e-4)


@methods
def test_sampling_with_several_answers(model, method):
    inputs = two_rows(model)
    settings = PLAIN | {"do_sample": True, "num_return_sequences": 3}
    with fold(model, method):
        torch.manual_seed(0)
        output = model.generate(**inputs, **settings, **FULL)
        torch.manual_seed(0)
        again = model.generate(**inputs, **settings, use_cache=False)
        greedy = model.generate(**inputs, **GREEDY, **FULL)
    assert output.sequences.shape == (6, inputs["input_ids"].shape[1] + 5)
    assert torch.equal(output.sequences, again)
    first = output.logits[0].unflatten(0, (2, 3))
    torch.testing.assert_close(first, greedy.logits[0][:, None].expand(2, 3, -1), rtol=0, atol=1e-4)


def test_prompt_lookup_decoding_gives_the_same_answer(model):
    inputs = row(model, 0)
    with fold(model, PyramidDrop()) as folded:
        expected = model.generate(**inputs, **GREEDY | {"max_new_tokens": 12})
        output = model.generate(
            **inputs, **GREEDY | {"max_new_tokens": 12}, prompt_lookup_num_tokens=3, return_dict_in_generate=True
        )
    assert torch.equal(output.sequences, expected)
    cached = lengths(output.past_key_values)
    assert [first - cached[0] for first in cached] == [kept - 18 for kept in folded.last.layers]


@methods
def test_decoding_step_by_step(model, method):
    inputs = two_rows(model)
    with fold(model, method) as folded, torch.no_grad():
        expected = model.generate(**inputs, **GREEDY, **FULL)
        mask = inputs["attention_mask"]
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        output = model(**inputs, position_ids=positions)
        for step in range(5):
            torch.testing.assert_close(output.logits[:, -1], expected.logits[step], rtol=0, atol=1e-4)
            token = oracles.greedy(output.logits[:, -1:])
            mask = torch.cat([mask, torch.ones_like(token)], 1)
            positions = positions[:, -1:] + 1
            output = model(
                input_ids=token,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=output.past_key_values,
            )
        assert folded.last.layers[0] == 36


def test_second_turn_of_padded_texts_with_a_cache(model):
    inputs = row(model, 0)
    cache_text = torch.tensor([[20, 21, 22], [0, 23, 24]])
    both = {name: value.repeat_interleave(2, 0) for name, value in inputs.items()}
    with fold(model, FastV(retention=0.3)), torch.no_grad():
        cache = model(**both).past_key_values
        mask = torch.cat([both["attention_mask"], (cache_text != 0).long()], 1)
        positions = (mask.cumsum(1) - 1)[:, -3:]
        together = model(input_ids=cache_text, attention_mask=mask, position_ids=positions, past_key_values=cache)
        for number, words in enumerate([[20, 21, 22], [23, 24]]):
            cache = model(**inputs).past_key_values
            alone = model(input_ids=torch.tensor([words]), past_key_values=cache)
            torch.testing.assert_close(together.logits[number, -1], alone.logits[0, -1], rtol=0, atol=1e-4)


def test_caches_are_independent(model):
    inputs = [row(model, 0), row(model, 1)]
    token = torch.tensor([[20]])
    with fold(model, FastV(retention=0.3)), torch.no_grad():
        caches = [model(**each).past_key_values for each in inputs]
        mixed = [model(input_ids=token, past_key_values=cache).logits for cache in caches]
        for each, logits in zip(inputs, mixed, strict=True):
            alone = model(input_ids=token, past_key_values=model(**each).past_key_values).logits
            assert torch.equal(logits, alone)
        empty = model(input_ids=token, past_key_values=DynamicCache()).logits
    with torch.no_grad():
        assert torch.equal(empty, model(input_ids=token).logits)


def test_last_prompt_token_ranks_with_either_padding(model, eager):
    rows = [builders.prompt(model, words=3), builders.prompt(model, words=8, seed=1)]
    for method in METHODS:
        with fold(model, method), torch.no_grad():
            outputs = {
                side: model(**builders.batch(rows, side), pixel_values_videos=builders.pixels(model, 2)).logits
                for side in ("left", "right")
            }
        torch.testing.assert_close(outputs["left"][1], outputs["right"][1], rtol=0, atol=1e-4)
        real = outputs["left"].shape[1] - 5
        torch.testing.assert_close(outputs["left"][0, -real:], outputs["right"][0, :real], rtol=0, atol=1e-4)


@methods
@pytest.mark.parametrize("side", ["left", "right"])
def test_labels_lose_the_same_tokens(model, method, side):
    rows = [builders.prompt(model, words=5), builders.prompt(model, words=9, seed=1)]
    inputs = builders.batch(rows, side) | {"pixel_values_videos": builders.pixels(model, 2)}
    labels = torch.full_like(inputs["input_ids"], -100)
    for number, line in enumerate(rows):
        real = inputs["attention_mask"][number].nonzero()[:, 0]
        labels[number, real[-2:]] = torch.tensor(line[-2:])
    with fold(model, method), torch.no_grad():
        output = model(**inputs, labels=labels)
        plain = model(**inputs, labels=labels, return_dict=False)
        losses = []
        for number, line in enumerate(rows):
            video = {"pixel_values_videos": inputs["pixel_values_videos"][number : number + 1]}
            # The answer does not help to rank: the same tokens are kept as for the question alone.
            cache = model(input_ids=torch.tensor([line[:-2]]), **video)
            following = model(input_ids=torch.tensor([line[-2:-1]]), past_key_values=cache.past_key_values)
            logits = torch.cat([cache.logits[0, -1:], following.logits[0]])
            losses.append(torch.nn.functional.cross_entropy(logits, torch.tensor(line[-2:])))
    torch.testing.assert_close(output.loss, torch.stack(losses).mean(), rtol=0, atol=1e-4)
    assert torch.equal(plain[0], output.loss)
    assert torch.equal(plain[1], output.logits)


def test_training_the_language_model():
    model = builders.llava_onevision(6, 8, layers=4).train()
    inputs = two_rows(model)
    labels = inputs["input_ids"].masked_fill(inputs["input_ids"] < builders.WORDS, -100)
    with fold(model, PyramidDrop()):
        model(**inputs, labels=labels).loss.backward()
    for layer in model.get_decoder().layers:
        assert layer.mlp.up_proj.weight.grad.abs().sum() > 0


def test_bfloat16():
    model = builders.llava_onevision(6, 8, layers=4).bfloat16()
    inputs = two_rows(model)
    for method in METHODS:
        with fold(model, method):
            assert model.generate(**inputs, **GREEDY).shape[1] == inputs["input_ids"].shape[1] + 5
            assert model(**inputs).logits.dtype == torch.bfloat16


@methods
def test_one_frame(model, eager, method):
    inputs = two_rows(model, frames=1)
    with fold(model, method) as folded:
        output = model.generate(**inputs, **GREEDY, **FULL)
    torch.testing.assert_close(
        torch.stack(output.logits), oracles.answer(eager, inputs, method.schedule(4), steps=5), rtol=0, atol=1e-4
    )
    assert min(folded.last.layers) >= 2


def test_one_token_is_never_dropped(model):
    with fold(model, PyramidDrop(ratio=0.01)) as folded:
        model.generate(**row(model, 0), **GREEDY)
    assert folded.last.layers == (18, 1, 1, 1)


def test_text_and_images_pass_through(model):
    text = builders.batch([[1, 20, 21, 22]])
    for inputs in (text, image(model)):
        stock = model.generate(**inputs, **GREEDY)
        with torch.no_grad():
            logits = model(**inputs).logits
        with fold(model, FastV(retention=0.1)) as folded, torch.no_grad():
            assert torch.equal(model.generate(**inputs, **GREEDY), stock)
            assert folded.last.reductions == folded.last.layers == ()
            assert torch.equal(model(**inputs).logits, logits)


def test_only_video_tokens_are_dropped_beside_an_image(model, eager):
    video, picture = row(model, 0), image(model)
    inputs = {name: torch.cat([picture[name], video[name]], 1) for name in ("input_ids", "attention_mask")}
    inputs |= {"pixel_values_videos": video["pixel_values_videos"]}
    inputs |= {name: picture[name] for name in ("pixel_values", "image_sizes")}
    with fold(model, FastV(retention=0.3)):
        output = model.generate(**inputs, **GREEDY, **FULL)
    expected = oracles.answer(eager, inputs, FastV(retention=0.3).schedule(4), steps=5)
    torch.testing.assert_close(torch.stack(output.logits), expected, rtol=0, atol=1e-4)


def test_model_is_unchanged():
    model = builders.llava_onevision(6, 8, layers=4)
    inputs = two_rows(model)
    model.generate(**inputs, **GREEDY)  # transformers sets hooks of its own once
    before = shape_of(model)
    stock = model.generate(**inputs, **GREEDY, **FULL)
    for method in METHODS:
        with fold(model, method):
            model.generate(**inputs, **GREEDY)
            model(**inputs)
    assert shape_of(model) == before
    handle = fold(model, PyramidDrop())
    with pytest.raises(ValueError, match="already folded by PyramidDrop"):
        fold(model, FastV())
    with pytest.raises(ValueError, match="placeholders"):
        model.generate(**inputs | {"input_ids": inputs["input_ids"][:, 6:], "attention_mask": None}, **GREEDY)
    handle.remove()
    handle.remove()
    assert shape_of(model) == before
    again = model.generate(**inputs, **GREEDY, **FULL)
    assert torch.equal(again.logits[-1], stock.logits[-1])


def test_second_model_and_other_threads_are_unaffected(model):
    other = copy.deepcopy(model)
    other.config = model.config
    inputs = [row(model, number) for number in range(2)]
    stock = other.generate(**inputs[0], **GREEDY)
    before, answers, others = shape_of(other), {}, []

    def run(number):
        for _ in range(3):
            answers[number] = model.generate(**inputs[number], **GREEDY)
            others.append(other.generate(**inputs[0], **GREEDY))

    with fold(model, FastV(retention=0.3)):
        alone = [model.generate(**each, **GREEDY) for each in inputs]
        threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(torch.equal(answers[number], alone[number]) for number in range(2))
    assert len(others) == 6
    assert all(torch.equal(each, stock) for each in others)
    assert shape_of(other) == before


def test_report_distinguishes_layers_from_the_language_model_input(model):
    with fold(model, PyramidDrop()) as folded:
        model.generate(**two_rows(model), **GREEDY)
    assert folded.last.before == folded.last.after == (18, 18)
    assert folded.last.layers == (36, 18, 10, 4)
    assert folded.last.layer_retention == pytest.approx((36 + 18 + 10 + 4) / (4 * 36))
    assert str(folded.last).startswith(
        "tokens 36 -> 36 (100.0 %) before the language model, 47.2 % on average inside: "
    )
    with fold(model, Random(retention=0.5)) as folded:
        model.generate(**two_rows(model), **GREEDY)
    assert folded.last.layers == ()
    assert folded.last.layer_retention == 0.5


@pytest.mark.parametrize("method", [FastV(layer=4), PyramidDrop(layers=(2, 4))], ids=repr)
def test_missing_layers_raise(model, method):
    with pytest.raises(ValueError, match="1 to 3 in a language model of 4 layers"):
        fold(model, method)
    assert "generate" not in model.__dict__
    assert not model._forward_pre_hooks


def test_unsupported_calls_raise(model):
    inputs = row(model, 0)
    with fold(model, FastV()) as folded:
        with pytest.raises(ValueError, match=r"7 of the prompt's 24 tokens.*prefill_chunk_size"):
            model.generate(**inputs, **GREEDY, prefill_chunk_size=7)
        encoded = folded.family.splice(inputs, [Identity()(video) for video in folded.family.encode(inputs)])
        with pytest.raises(ValueError, match=r"mm_encoder_outputs holds a video, but FastV.* needs its pixels"):
            model.generate(**encoded, **GREEDY)
        with pytest.raises(ValueError, match=r"mm_encoder_outputs holds a video, but FastV.* needs its pixels"):
            model(**encoded)
        length = inputs["input_ids"].shape[1]
        square = torch.ones(1, 1, length, length, dtype=torch.bool).tril()
        with pytest.raises(ValueError, match=r"FastV.* needs an attention_mask of \(batch, length\)"):
            model(**inputs | {"attention_mask": square})
        assert model.generate(**inputs, **GREEDY).shape[1] == inputs["input_ids"].shape[1] + 5
