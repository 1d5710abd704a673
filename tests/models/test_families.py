"""What every model family must do: encode, leave the model as it was, refuse bad input."""

import copy
import threading
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.models.matrix import CASES, built, greedy, one_row, two_rows
from vidfold import AOT, Random, Reduction, VideoTokens, fold, models
from vidfold.models import FAMILIES

STATE = {"rope_deltas"}
"""What models themselves keep of their last prompt."""


def hooks(model: Any) -> dict[str, Any]:
    """Everything that folding could leave on a model object."""
    return {
        name: (
            {key: value for key, value in module.__dict__.items() if "hooks" not in key and key not in STATE},
            {key: list(value) for key, value in module.__dict__.items() if "hooks" in key and isinstance(value, dict)},
        )
        for name, module in model.named_modules()
    }


def test_every_family_is_tested():
    assert set(CASES) == set(FAMILIES)


def test_heads_are_no_smaller_than_real_kernels_take(case, model):
    config = model.config.get_text_config()
    assert config.hidden_size // config.num_attention_heads >= 8


def test_row_alone_equals_row_of_a_batch(case, model):
    both = two_rows(case, model)
    for number in range(2):
        alone = one_row(case, model, number)["input_ids"][0]
        assert torch.equal(both["input_ids"][number][-len(alone) :], alone)
    with torch.no_grad():
        together = model(**both).logits[:, -1]
        apart = torch.cat([model(**one_row(case, model, number)).logits[:, -1] for number in range(2)])
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-4)


def test_answers_depend_on_the_video(case, model):
    inputs = one_row(case, model, 0)
    (name,) = [name for name in inputs if name.startswith("pixel_values")]
    with torch.no_grad():
        seen = model(**inputs).logits[:, -1]
        other = model(**inputs | {name: inputs[name].flip(-1) * 0.5}).logits[:, -1]
    assert (seen - other).abs().max() > 0.01


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_received_attention_of_the_chosen_layers(case, attention):
    model, eager = built(case, attention=attention), built(case, attention="eager")
    family = models.family(model)
    inputs = two_rows(case, model)
    videos = family.encode(inputs, frozenset({"shallow", "deep"}))
    assert len(videos) == 2
    for name, layer in family.observed_layers(inputs).items():
        expected = case.received(eager, inputs, layer)
        for video, maps in zip(videos, expected, strict=True):
            assert getattr(video, name).dtype == torch.float32
            torch.testing.assert_close(getattr(video, name), maps, rtol=1e-4, atol=1e-6)


def test_encoding_depends_only_on_the_pixels_of_the_video(case, model):
    together = models.encode(model, two_rows(case, model))
    for number, video in enumerate(together):
        (alone,) = models.encode(model, one_row(case, model, number))
        torch.testing.assert_close(video.features, alone.features, rtol=0, atol=1e-5)
        assert video.shallow is video.deep is video.keys is None


def test_threads_give_the_same_answers(case, model):
    inputs = [one_row(case, model, number) for number in range(2)]
    answers: dict[int, Tensor] = {}

    def run(number: int) -> None:
        for _ in range(2):
            answers[number] = model.generate(**inputs[number], **greedy(case))

    with fold(model, AOT.paper(retention=0.3)):
        alone = [model.generate(**each, **greedy(case)) for each in inputs]
        threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(torch.equal(answers[number], alone[number]) for number in range(2))


def test_copy_of_a_folded_model_is_unfolded(case):
    model = case.build()
    inputs = one_row(case, model, 0)
    stock = model.generate(**inputs, **greedy(case))
    with fold(model, Random(retention=0.2)) as folded:
        answer = model.generate(**inputs, **greedy(case))
        report = folded.last
        other = copy.deepcopy(model)
        assert torch.equal(other.generate(**inputs, **greedy(case)), stock)
        with torch.no_grad():
            other(**inputs)
        assert folded.last is report
        with fold(other, Random(retention=0.4)) as second:
            other.generate(**inputs, **greedy(case))
        assert sum(second.last.after) > sum(report.after)
        assert folded.last is report
        assert torch.equal(model.generate(**inputs, **greedy(case)), answer)
    assert torch.equal(other.generate(**inputs, **greedy(case)), stock)
    assert torch.equal(model.generate(**inputs, **greedy(case)), stock)


def test_bad_input_raises(case, model):
    inputs = one_row(case, model, 0)
    (name,) = [name for name in inputs if name.startswith("pixel_values")]
    ids = inputs["input_ids"]
    ((_, columns),) = case.visual(model, inputs)
    cut = torch.ones_like(ids[0], dtype=torch.bool)
    cut[columns[0]] = False
    per_token = {key: value for key, value in inputs.items() if value.shape == ids.shape}
    bad = {
        "placeholder": {key: value[:, cut] for key, value in per_token.items()},
        "placeholders": {key: value[:, -3:] for key, value in per_token.items()},
        name: {name: inputs[name][:0]},
    }
    with fold(model, Random(retention=0.3)) as folded:
        for quoted, change in bad.items():
            with pytest.raises(ValueError, match=quoted):
                model.generate(**inputs | change, **greedy(case))
            with pytest.raises(ValueError, match=quoted):
                model(**inputs | change)
        model.generate(**inputs, **greedy(case))
        assert len(folded.last.reductions) == 1


def test_error_inside_generate_leaves_no_state(case):
    model = case.build()
    inputs = one_row(case, model, 0)
    model.generate(**inputs, **greedy(case))  # transformers sets hooks of its own once
    before = hooks(model)

    def fail(ids: Tensor, scores: Tensor) -> Tensor:
        raise RuntimeError("stop")

    with fold(model, AOT.paper(retention=0.3)) as folded:
        stock = model.generate(**inputs, **greedy(case))
        with pytest.raises(RuntimeError, match="stop"):
            model.generate(**inputs, **greedy(case), logits_processor=[fail])
        assert torch.equal(model.generate(**inputs, **greedy(case)), stock)
    assert len(folded.last.reductions) == 1
    assert hooks(model) == before

    def refuse(tokens: VideoTokens) -> Reduction:
        raise RuntimeError("stop")

    with fold(model, refuse), pytest.raises(RuntimeError, match="stop"):
        model.generate(**inputs, **greedy(case))
    assert hooks(model) == before
