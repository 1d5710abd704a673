"""What every model family must do, on a small random model of its real architecture.

A family enters with a builder, a module ``tests/models/<family>_model.py`` that has:

``build(dtype=torch.float32, attention="sdpa") -> model``
    From the real config classes, in evaluation mode, the same weights on every call, a second or less. Heads of the
    tower and of the language model have at least 8 channels; ``attention`` goes to both (``set_attn_implementation``);
    ``generation_config`` has its pad and end tokens. Answers depend on what the video shows: weights of a fair size.

``inputs(model, prompts=(4,), frames=((2,),), images=None) -> dict``
    What the real processor would give, padded on the left. One entry a row: ``prompts[i]`` words of text at its end,
    the numbers of frames of its videos in ``frames[i]`` (``()`` for none; a family with temporal patches takes as many
    steps of the language model as are asked for, whatever frames that needs), and ``images[i]`` images after them
    (None: none anywhere). Words and pixels of a row follow from ``prompts[i]``, ``frames[i]`` and ``images[i]`` alone,
    say ``prompts[i]`` as a seed: a row built alone is the row in a batch. Pixels are float32.

``visual(model, inputs) -> list[(row, columns)]``
    Of every video in the order of the prompts: its row, and the (F*N,) columns of the padded prompt where the language
    model reads cell 0... of frame 0..., newlines and other tokens that no budget counts left out.

``received(model, inputs, layer) -> list[(F, H*W) tensor]``
    Of every video: attention received by every cell of ``VideoTokens`` in a layer of the tower, from
    ``output_attentions`` of a model with eager attention (mean over heads, sum over queries).

``NEVER: list[int]``
    Token ids that answers must do without: placeholders, and the end of the text.

``UNEQUAL: bool``
    Whether videos of unequal numbers of frames go together in one call.

``IMAGES: bool``
    Whether the builder makes images.

``extra(model, inputs, kept) -> (B, L) bool`` (optional)
    Placeholders that stay although no budget counts them, such as newlines, where of every video the cells at the flat
    indices ``kept[i]`` stay. Without it the ``closing`` tokens behind the last cell of every video.

``positions(model, inputs) -> dict`` (optional)
    Position ids of the unfolded model for the full prompt, where they are not counted one by one.

A family has ``observed_layers(inputs) -> {"shallow": index, "deep": index}`` (see `observing.chosen_layers`). What only
one family does is tested in ``test_<family>.py``.
"""

from __future__ import annotations

import copy
import functools
import importlib
import itertools
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from vidfold import AOT, Identity, Random, Reduction, VideoTokens, fold, models
from vidfold.models import FAMILIES
from vidfold.ops.shares import kept_tokens
from vidfold.reducers import AOTReference, FastV
from vidfold.reducers.base import Reducer, select

CASES = {
    path.stem.removesuffix("_model"): importlib.import_module(f"tests.models.{path.stem}")
    for path in sorted(Path(__file__).parent.glob("*_model.py"))
    if path.stem.removesuffix("_model") in FAMILIES
}
"""``config.model_type`` -> builder."""

STEPS = 4
FULL = {"return_dict_in_generate": True, "output_logits": True}
WORDS = (3, 8)
"""Words of the two prompts of a batch."""


@pytest.fixture(params=sorted(CASES), scope="module")
def case(request) -> Any:
    """The builder of a family."""
    return CASES[request.param]


@functools.cache
def built(case: Any, dtype: torch.dtype = torch.float32, attention: str = "sdpa") -> Any:
    """One model for many tests, which must leave it as it is."""
    return case.build(dtype=dtype, attention=attention)


@pytest.fixture
def model(case) -> Any:
    return built(case)


def greedy(case: Any) -> dict[str, Any]:
    """Settings of an answer of `STEPS` tokens."""
    return {
        "max_new_tokens": STEPS,
        "min_new_tokens": STEPS,
        "do_sample": False,
        "suppress_tokens": list(case.NEVER),
    }


def shapes(case: Any) -> tuple[tuple[int, ...], ...]:
    """Frames of the videos of a batch of two prompts: unequal where a family takes that."""
    return ((2,), (3,)) if case.UNEQUAL else ((2,), (2,))


def two_rows(case: Any, model: Any) -> dict[str, Tensor]:
    """Two prompts of unequal length with a video each."""
    return case.inputs(model, prompts=WORDS, frames=shapes(case))


def one_row(case: Any, model: Any, number: int) -> dict[str, Tensor]:
    """One of the two prompts alone."""
    return case.inputs(model, prompts=WORDS[number : number + 1], frames=shapes(case)[number : number + 1])


@dataclass(frozen=True)
class Keep(Reducer):
    """Keeps tokens of every video at given flat positions, another set for each video in turn."""

    sets: tuple[Tensor, ...]

    name: ClassVar[str] = "keep"
    paper: ClassVar[str] = "none: a test"
    idea: ClassVar[str] = "keeps what it is told"

    def __post_init__(self) -> None:
        object.__setattr__(self, "turn", itertools.cycle(self.sets))

    def count(self, frames: int, cells: int) -> int:
        raise ValueError("it keeps what it is told")

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        return select(tokens, next(self.turn), weights=weights)


def some(case: Any, model: Any, inputs: dict[str, Tensor], seed: int = 0) -> tuple[Tensor, ...]:
    """Positions to keep: about a third of every video, another number of each."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [len(columns) for _, columns in case.visual(model, inputs)]
    counts = [size // 3 + number for number, size in enumerate(sizes)]
    return tuple(
        torch.randperm(size, generator=generator)[:count].sort().values
        for size, count in zip(sizes, counts, strict=True)
    )


def visible(case: Any, model: Any, inputs: dict[str, Tensor], kept: tuple[Tensor, ...]) -> Tensor:
    """The attention mask (B, L) that hides what is not kept of every video."""
    family = models.family(model)
    hidden = family.places(inputs).clone()
    for (row, columns), index in zip(case.visual(model, inputs), kept, strict=True):
        hidden[row, columns[index]] = False
        end = int(columns[-1]) + 1
        hidden[row, end : end + family.closing] = False
    if hasattr(case, "extra"):
        hidden &= ~case.extra(model, inputs, kept)
    return inputs["attention_mask"].masked_fill(hidden, 0)


@torch.no_grad()
def masked(case: Any, model: Any, inputs: dict[str, Tensor], kept: tuple[Tensor, ...]) -> Tensor:
    """Logits (B, V) of the unfolded model at the last position when it may not attend to what was dropped."""
    mask = visible(case, model, inputs, kept)
    if hasattr(case, "positions"):
        positions = case.positions(model, inputs)
    else:
        positions = {"position_ids": (mask.cumsum(-1) - 1).clamp(min=0)}
    return model(**inputs | {"attention_mask": mask} | positions).logits[:, -1]


class Noise:
    """Gumbel noise on the logits of the copies of every row, each row the same: the largest is a sample."""

    def __init__(self, copies: int) -> None:
        self.copies, self.generator = copies, torch.Generator().manual_seed(0)

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        uniform = torch.rand(self.copies, scores.shape[1], generator=self.generator, dtype=torch.float64)
        return scores - (-uniform.log()).log().repeat(len(scores) // self.copies, 1).to(scores)


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
        spliced = folded.fold_inputs(inputs)
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
        for method in (AOT(retention=0.3), AOT.paper(retention=0.3), Random(retention=0.3)):
            with fold(model, method, images=True) as folded:
                output = model.generate(**inputs, **greedy(case), num_beams=2, return_dict_in_generate=True)
            # A family may read an image in two grids.
            assert folded.last.images >= images[0]
            shown = folded.last.reductions[-folded.last.images :]
            assert all(len(each) - each.newlines == method.count(1, each.full) for each in shown)
            assert output.past_key_values.get_seq_length() == folded.last.prompt_after + STEPS - 1


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
