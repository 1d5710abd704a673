"""What every folded model answers."""

import pytest
import torch
from torch import Tensor

from tests.models.matrix import FULL, STEPS, Keep, built, greedy, masked, one_row, shapes, some, two_rows
from vidfold import AOT, Identity, Random, fold, models
from vidfold.ops.shares import kept_tokens
from vidfold.reducers import AOTReference, FastV


class Noise:
    """Gumbel noise on the logits of the copies of every row, each row the same: the largest is a sample."""

    def __init__(self, copies: int) -> None:
        self.copies, self.generator = copies, torch.Generator().manual_seed(0)

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        uniform = torch.rand(self.copies, scores.shape[1], generator=self.generator, dtype=torch.float64)
        return scores - (-uniform.log()).log().repeat(len(scores) // self.copies, 1).to(scores)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_keeping_everything_changes_nothing(case, attention):
    model = built(case, attention=attention)
    inputs = two_rows(case, model)
    labels = inputs["input_ids"].masked_fill(torch.isin(inputs["input_ids"], torch.tensor(case.NEVER)), -100)
    labels = labels.masked_fill(inputs["attention_mask"] == 0, -100)
    stock = model.generate(**inputs, **greedy(case))
    with torch.no_grad():
        expected = model(**inputs, labels=labels)
        with fold(model, Identity()):
            folded = model(**inputs, labels=labels)
            answer = model.generate(**inputs, **greedy(case))
    assert torch.equal(answer, stock)
    torch.testing.assert_close(folded.logits, expected.logits, rtol=0, atol=1e-4)
    torch.testing.assert_close(folded.loss, expected.loss, rtol=0, atol=1e-4)


@pytest.mark.parametrize("seed", [0, 1])
def test_dropping_equals_masking(case, model, seed):
    inputs = two_rows(case, model)
    kept = some(case, model, inputs, seed)
    with fold(model, Keep(kept)) as folded, torch.no_grad():
        answer = model.generate(**inputs, **greedy(case), **FULL)
        logits = model(**inputs).logits[:, -1]
    expected = masked(case, model, inputs, kept)
    assert folded.last.after == tuple(map(len, kept))
    torch.testing.assert_close(answer.logits[0], expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4)


def test_dropping_whole_frames(case, model):
    """All of the first frame goes, and of the last one all but one token."""
    inputs = one_row(case, model, 1)
    ((_, columns),) = case.visual(model, inputs)
    kept = (torch.tensor([len(columns) - 2]),)
    with fold(model, Keep(kept)), torch.no_grad():
        logits = model(**inputs).logits[:, -1]
    torch.testing.assert_close(logits, masked(case, model, inputs, kept), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [{}, {"num_beams": 3}, {"cache_implementation": "static"}, {"use_cache": False}],
    ids=str,
)
def test_batch_equals_its_rows(case, model, settings):
    inputs, settings = two_rows(case, model), greedy(case) | settings
    kept = some(case, model, inputs)
    with fold(model, Keep(kept)):
        together = model.generate(**inputs, **settings)
    assert torch.equal(together[:, :-STEPS], inputs["input_ids"])
    for number in range(2):
        with fold(model, Keep(kept[number:])):
            alone = model.generate(**one_row(case, model, number), **settings)
        assert torch.equal(together[number, -STEPS:], alone[0, -STEPS:])


def test_static_cache_and_no_cache_give_the_same_answer(case, model):
    inputs = two_rows(case, model)
    kept = some(case, model, inputs)
    with fold(model, Keep(kept)):
        expected = model.generate(**inputs, **greedy(case))
        for settings in ({"cache_implementation": "static"}, {"use_cache": False}):
            assert torch.equal(model.generate(**inputs, **greedy(case), **settings), expected)


def test_sampling(case, model):
    inputs = two_rows(case, model)
    kept = some(case, model, inputs)
    settings = greedy(case) | {"do_sample": True, "top_k": 1, "num_return_sequences": 2}
    with fold(model, Keep(kept)):
        together = model.generate(**inputs, **settings, logits_processor=[Noise(2)])
    assert torch.equal(together[:, :-STEPS], inputs["input_ids"].repeat_interleave(2, 0))
    for number in range(2):
        with fold(model, Keep(kept[number:])):
            alone = model.generate(**one_row(case, model, number), **settings, logits_processor=[Noise(2)])
        assert torch.equal(together[2 * number : 2 * number + 2, -STEPS:], alone[:, -STEPS:])


def test_labels_lose_the_same_tokens(case, model):
    inputs = two_rows(case, model)
    kept = some(case, model, inputs)

    def text(ids: Tensor) -> Tensor:
        return torch.cat([torch.full_like(ids[:, :-3], -100), ids[:, -3:]], 1)

    with torch.no_grad():
        with fold(model, Keep(kept)):
            output = model(**inputs, labels=text(inputs["input_ids"]))
        losses = []
        for number in range(2):
            alone = one_row(case, model, number)
            with fold(model, Keep(kept[number:])):
                single = model(**alone, labels=text(alone["input_ids"]))
            length = single.logits.shape[1]
            torch.testing.assert_close(output.logits[number, -length:], single.logits[0], rtol=0, atol=1e-4)
            losses.append(single.loss)
    torch.testing.assert_close(output.loss, torch.stack(losses).mean(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision(case, dtype):
    model = built(case, dtype)
    inputs = two_rows(case, model)
    with fold(model, AOT.paper(retention=0.3)) as folded, torch.no_grad():
        output = model(**inputs)
        answer = model.generate(**inputs, **greedy(case))
    assert output.logits.dtype == dtype
    assert output.logits.shape[1] == folded.last.prompt_after
    assert torch.isfinite(output.logits).all()
    assert answer.shape[1] == inputs["input_ids"].shape[1] + STEPS


def test_attention_implementations_agree(case):
    logits = []
    for attention in ("sdpa", "eager"):
        model = built(case, attention=attention)
        with fold(model, Random(retention=0.3)), torch.no_grad():
            logits.append(model(**two_rows(case, model)).logits[:, -1])
    torch.testing.assert_close(*logits, rtol=0, atol=1e-4)


METHODS = {
    "aot": lambda patches: AOT(retention=0.1),
    "aot, everything": lambda patches: AOT(retention=1.0),
    "aot-paper": lambda patches: AOT.paper(retention=0.1),
    "aot-reference": lambda patches: AOTReference(anchors=2 * patches // 3, clip=2),
    "random": lambda patches: Random(retention=0.1),
}


@pytest.mark.parametrize("method", METHODS)
def test_methods(case, model, method):
    inputs = case.inputs(model, prompts=(3,), frames=((4,),))
    ((_, columns),) = case.visual(model, inputs)
    (video,) = models.encode(model, inputs)
    method = METHODS[method](video.features.shape[1])
    with fold(model, method) as folded:
        output = model.generate(**inputs, **greedy(case), return_dict_in_generate=True)
    (reduction,) = folded.last.reductions
    cells, kept = len(columns) // 4, folded.last.after[0]
    assert folded.last.before == (len(columns),)
    assert reduction.grid == video.language_grid
    assert video.cells == cells
    if method.exact:
        assert kept == kept_tokens(method.retention, 4, cells)
    assert kept > 0
    assert set(reduction.frames.tolist()) <= set(range(4))
    assert set(reduction.cells.tolist()) <= set(range(cells + reduction.grid[0] * (reduction.newlines > 0)))
    assert output.past_key_values.get_seq_length() == folded.last.prompt_after + STEPS - 1
    assert folded.last.prompt_after <= inputs["input_ids"].shape[1] - len(columns) + kept
    assert output.sequences.shape[1] == inputs["input_ids"].shape[1] + STEPS


def test_positions_equal_those_of_the_cells(case, model):
    if not hasattr(case, "positions"):
        return
    inputs = one_row(case, model, 1)
    ((_, columns),) = case.visual(model, inputs)
    with fold(model, AOT(retention=0.3)) as folded:
        spliced = folded.fold(folded.family.prepared(inputs)).inputs
    (reduction,) = folded.last.reductions
    index = (reduction.frames * (len(columns) // shapes(case)[1][0]) + reduction.cells).sort().values
    full, short = case.positions(model, inputs)["position_ids"], spliced["position_ids"]
    places = models.family(model).places(spliced)[0]
    # Channel 0 of four is the text's own count, which has no gaps.
    torch.testing.assert_close(short[-3:, 0, places], full[-3:, 0, columns[index]])


def test_a_method_inside_the_language_model(case, model):
    """Nothing changes where it keeps everything, and a row alone answers as in a batch."""
    inputs = two_rows(case, model)
    first = max(1, models.family(model).side_levels)
    with torch.no_grad():
        stock = model(**inputs).logits
        with fold(model, FastV(retention=1.0, layer=first)):
            torch.testing.assert_close(model(**inputs).logits, stock, rtol=0, atol=1e-4)
    with fold(model, FastV(retention=0.3, layer=first)) as folded:
        together = model.generate(**inputs, **greedy(case))
        before, after = sum(folded.last.before), sum(kept_tokens(0.3, 1, each) for each in folded.last.before)
        assert folded.last.layers == (before,) * first + (after,) * (len(folded.last.layers) - first)
        for number in range(2):
            alone = model.generate(**one_row(case, model, number), **greedy(case))
            assert torch.equal(together[number, -STEPS:], alone[0, -STEPS:])
