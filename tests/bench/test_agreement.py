import pytest
import torch

from tests.models.builders import EOS, IMAGE, VIDEO, batch, cells, llava_onevision, pixels, prompt
from vidfold import Identity, Random, fold, models
from vidfold.bench.agreement import Reference
from vidfold.bench.clips import Scenes
from vidfold.reducers import FastV

FRAMES = 2


@pytest.fixture(scope="module")
def model():
    made = llava_onevision(side=8, patch=4, seed=1)
    with torch.no_grad():
        made.lm_head.weight[[IMAGE, VIDEO]] = 0  # a random model must not answer with visual tokens
    return made


@pytest.fixture(scope="module")
def tokens(model):
    return models.encode(model, {"pixel_values_videos": pixels(model, frames=FRAMES)})[0]


def asked(model, side: str = "left"):
    return batch([prompt(model, FRAMES, words=words, seed=words) for words in (3, 5, 4)], side)


@pytest.mark.parametrize("side", ["left", "right"])
def test_all_tokens_agree_with_unfolded(model, tokens, side):
    reference = Reference.of(model, asked(model, side), tokens, max_new_tokens=4)
    said = reference.agreement(reference.folded(Identity()(tokens)))
    assert said["divergence"] == pytest.approx(0, abs=1e-6)
    assert said["top1"] == 1.0


def test_scores_equal_the_untouched_model_on_its_answers(model, tokens):
    reference = Reference.of(model, asked(model), tokens, max_new_tokens=4)
    frames = pixels(model, frames=FRAMES)
    start = 0
    for words in (3, 5, 4):
        given = batch([prompt(model, FRAMES, words=words, seed=words)])
        length = given["input_ids"].shape[1]
        output = model.generate(
            **given,
            pixel_values_videos=frames,
            max_new_tokens=4,
            do_sample=False,
            return_dict_in_generate=True,
            output_logits=True,
        )
        answer = output.sequences[0, length:].tolist()
        count = answer.index(EOS) if EOS in answer else len(answer)
        own = torch.cat(output.logits).log_softmax(-1)[: max(1, count)]
        torch.testing.assert_close(reference.scores[start : start + len(own)], own, atol=2e-4, rtol=1e-4)
        assert reference.answers(reference.scores).tolist()[(3, 5, 4).index(words)] == answer[0]
        start += len(own)
    assert start == len(reference.scores)


def test_agreement_equals_a_loop(model, tokens):
    reference = Reference.of(model, asked(model), tokens, max_new_tokens=3)
    folded = reference.folded(Random(0.2)(tokens))
    divergences, same = [], 0
    for full, other in zip(reference.scores.double(), folded.double(), strict=True):
        divergences.append(sum((p.exp() * (p - q)).item() for p, q in zip(full, other, strict=True)))
        same += int(full.argmax() == other.argmax())
    said = reference.agreement(folded)
    assert said["divergence"] == pytest.approx(sum(divergences) / len(divergences), rel=1e-4)
    assert said["divergence"] > 1e-4
    assert said["top1"] == pytest.approx(same / len(divergences))


def test_tokens_of_probability_zero_add_nothing(model, tokens):
    reference = Reference.of(model, asked(model), tokens, max_new_tokens=1)
    with_zero = reference.scores.clone()
    with_zero[:, 0] = -torch.inf
    limited = Reference(model, reference.inputs, with_zero, reference.first)
    assert limited.agreement(with_zero)["divergence"] == 0


def test_end_of_answer_is_not_a_position(tiny):
    sample = Scenes(1, split="search").sample(0, tiny)
    reference = Reference.of(tiny.model, sample.prompts, sample.encode(frozenset()), max_new_tokens=5)
    assert len(reference.scores) == len(sample.questions)  # one word per answer
    assert reference.first.tolist() == list(range(len(sample.questions)))


def test_first_tokens_inside_equal_generate(small):
    sample = Scenes(1, split="search", frames=(4,)).sample(0, small)
    reference = Reference.of(small.model, sample.prompts, sample.encode(frozenset()))
    scores, share = reference.folded_inside(FastV(0.1), sample.video)
    assert share == pytest.approx((2 * 144 + 14) / (3 * 144))
    with fold(small.model, FastV(0.1)):
        output = small.model.generate(**sample.video, max_new_tokens=1, do_sample=False)
    assert output[0, -1] == reference.answers(scores)[0]


def test_cells_and_bad_max_new_tokens(model, tokens):
    assert tokens.cells == cells(model)
    with pytest.raises(ValueError, match="max_new_tokens must be a whole number of at least 1, got 0"):
        Reference.of(model, asked(model), tokens, max_new_tokens=0)
