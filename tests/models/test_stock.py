"""The unfolded model is the oracle for every form that a call may take.

What it takes gives the same when it is folded and keeps everything; what it refuses is refused. The families and their
builders are those of `tests.models.matrix`.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import GenerationConfig

from tests.models.matrix import FULL, STEPS, Keep, greedy, one_row, some, two_rows
from tests.waiting import Waits
from vidfold import Identity, Random, fold, models
from vidfold.models.cache import cache_argument, cache_of

PAD = 0


def one_padded_row(case: Any, model: Any) -> dict[str, Tensor]:
    """One prompt with padding that all rows share."""
    inputs = one_row(case, model, 0)
    shape = inputs["input_ids"].shape
    return {
        name: torch.cat([torch.zeros_like(value[:, :3]), value], 1) if value.shape == shape else value
        for name, value in inputs.items()
    }


def counted(mask: Tensor) -> Tensor:
    return (mask.cumsum(1) - 1).clamp(min=0)


def causal(mask: Tensor) -> Tensor:
    """(B, 1, L, L) bool; every token sees itself."""
    square = torch.ones(mask.shape[1], mask.shape[1], dtype=torch.bool)
    return (square.tril() & mask[:, None, None].bool()) | torch.eye(len(square), dtype=torch.bool)


def additive(mask: Tensor) -> Tensor:
    return torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)


def with_hole(mask: Tensor) -> Tensor:
    mask = mask.clone()
    mask[:, -2] = 0
    return mask


FORMS = {
    "as it is": lambda x: {},
    "no mask": lambda x: {"attention_mask": None},
    "a mask of int32": lambda x: {"attention_mask": x["attention_mask"].int()},
    "a mask of bool": lambda x: {"attention_mask": x["attention_mask"].bool()},
    "a mask of float": lambda x: {"attention_mask": x["attention_mask"].float()},
    "a mask of queries and keys": lambda x: {"attention_mask": causal(x["attention_mask"])},
    "an additive mask": lambda x: {"attention_mask": additive(causal(x["attention_mask"]))},
    "a mask with a hole": lambda x: {"attention_mask": with_hole(x["attention_mask"])},
    "a mask of one row": lambda x: {"attention_mask": x["attention_mask"][:1]},
    "positions of one row": lambda x: {"position_ids": torch.arange(x["input_ids"].shape[1])[None]},
    "positions": lambda x: {"position_ids": torch.arange(x["input_ids"].shape[1]).expand(x["input_ids"].shape)},
    "positions by the mask": lambda x: {"position_ids": counted(x["attention_mask"])},
    "positions without rows": lambda x: {"position_ids": torch.arange(x["input_ids"].shape[1])},
    "positions of another length": lambda x: {"position_ids": torch.arange(1, x["input_ids"].shape[1])[None]},
    "two packed texts": lambda x: {
        "position_ids": torch.cat([torch.arange(x["input_ids"].shape[1] - 3), torch.arange(3)])[None],
        "attention_mask": None,
    },
    "ids of int32": lambda x: {"input_ids": x["input_ids"].int()},
    "ids of int16": lambda x: {"input_ids": x["input_ids"].short()},
    "ids without rows": lambda x: {"input_ids": x["input_ids"][0]},
    "pixels of float64": lambda x: {key: x[key].double() for key in x if key.startswith("pixel_values")},
    "no types": lambda x: {"mm_token_type_ids": None},
    "no types and no mask": lambda x: {"mm_token_type_ids": None, "attention_mask": None},
    "types of int64": lambda x: {key: x[key].long() for key in x if key == "mm_token_type_ids"},
    "types as a list": lambda x: {key: x[key].tolist() for key in x if key == "mm_token_type_ids"},
    "types of another length": lambda x: {key: x[key][:, 1:] for key in x if key == "mm_token_type_ids"},
    "no grids": lambda x: {"video_grid_thw": None},
    "grids of int32": lambda x: {key: x[key].int() for key in x if key == "video_grid_thw"},
    "few logits": lambda x: {"logits_to_keep": 2},
    "no cache": lambda x: {"use_cache": False},
    "an unknown argument": lambda x: {"unknown": 3},
}
PADDED = [form for form in FORMS if form == "as it is" or "mask" in form or "positions" in form or "packed" in form]
"""Those in which it matters whether all rows share some padding."""


def outcome(call: Callable[[], Tensor]) -> Tensor | None:
    """What a call gives; None where it is refused."""
    try:
        return call()
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        return None


@pytest.mark.parametrize(
    ("rows", "form"), [*((two_rows, form) for form in FORMS), *((one_padded_row, form) for form in PADDED)]
)
def test_what_is_taken_gives_the_same_and_what_is_refused_is_refused(case, model, rows, form):
    inputs = rows(case, model)
    given = {name: value for name, value in (inputs | FORMS[form](inputs)).items() if value is not None}
    if form != "as it is" and [*map(id, given.values())] == [*map(id, inputs.values())]:
        return  # the family has no such argument
    two_tokens = greedy(case) | {"max_new_tokens": 2, "min_new_tokens": 2}
    calls = (lambda: model(**given).logits, lambda: model.generate(**given, **two_tokens))
    with torch.no_grad():
        stock = [outcome(call) for call in calls]
        with fold(model, Identity()):
            folded = [outcome(call) for call in calls]
    for ours, theirs in zip(folded, stock, strict=True):
        assert (ours is None) == (theirs is None)
        if theirs is not None:
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_mask_of_another_length_is_refused(case, model, side):
    inputs = two_rows(case, model)
    mask = inputs["attention_mask"]
    for wrong in (mask[:, 1:], torch.cat([mask, mask[:, -1:]], 1)):
        with fold(model, Identity()), pytest.raises(ValueError, match="attention_mask must be"):
            model(**inputs | {"attention_mask": wrong})


def test_every_way_to_say_the_positions_gives_the_layout_of_generate(case, model):
    inputs = two_rows(case, model)
    kept = some(case, model, inputs)
    mask = inputs["attention_mask"]
    if hasattr(case, "positions"):
        own = case.positions(model, inputs)["position_ids"]
        forms = [own, torch.cat([counted(mask)[None], own])]
    else:
        forms = [torch.arange(mask.shape[1])[None], torch.arange(5, 5 + mask.shape[1])[None], counted(mask)]
    with fold(model, Keep(kept)), torch.no_grad():
        expected = model.generate(**inputs, **greedy(case), **FULL)
        torch.testing.assert_close(model(**inputs).logits[:, -1], expected.logits[0], rtol=0, atol=1e-4)
        for positions in forms:
            given = inputs | {"position_ids": positions}
            torch.testing.assert_close(model(**given).logits[:, -1], expected.logits[0], rtol=0, atol=1e-4)
            answer = model.generate(**given, **greedy(case), **FULL)
            torch.testing.assert_close(torch.stack(answer.logits), torch.stack(expected.logits), rtol=0, atol=1e-4)


def test_generate_finds_padding_by_its_id(case, model):
    """Not where padding is also the end of the text, nor in the forward: all as in the unfolded model."""
    inputs = two_rows(case, model)
    bare = {name: value for name, value in inputs.items() if name != "attention_mask"}
    kept = some(case, model, inputs)
    ends = {"eos_token_id": [2, PAD]}
    with fold(model, Keep(kept)), torch.no_grad():
        expected = model.generate(**inputs, **greedy(case), **FULL)
        answer = model.generate(**bare, **greedy(case), **FULL)
        config = GenerationConfig(**greedy(case), **FULL, pad_token_id=PAD, eos_token_id=2)
        configured = model.generate(**bare, generation_config=config)
        unmasked = model.generate(**bare, **greedy(case), **FULL, **ends)
        forward = model(**bare).logits[:, -1]
        ones = model(**bare, attention_mask=torch.ones_like(inputs["input_ids"])).logits[:, -1]
    torch.testing.assert_close(torch.stack(answer.logits), torch.stack(expected.logits), rtol=0, atol=1e-4)
    torch.testing.assert_close(torch.stack(configured.logits), torch.stack(expected.logits), rtol=0, atol=1e-4)
    torch.testing.assert_close(unmasked.logits[0], ones, rtol=0, atol=1e-4)
    torch.testing.assert_close(forward, ones, rtol=0, atol=1e-4)
    assert (ones - expected.logits[0]).abs().max() > 1e-3


def test_the_videos_of_a_call_are_checked_with_one_wait(case, model):
    waits = []
    for videos in (1, 4):
        inputs = case.inputs(model, prompts=(3,), frames=((2,) * videos,))
        with Waits() as counted:
            models.encode(model, inputs)
        waits.append(counted.waits)
    assert waits[0] == waits[1]


def by_hand(case: Any, model: Any, inputs: dict[str, Tensor], *, mask: Tensor, positions: bool) -> Tensor:
    """Logits (STEPS, B, V) of a loop over one's own prompts, with the mask of the prompt as it was given."""
    output, logits = model(**inputs), []
    for _ in range(STEPS):
        logits.append(output.logits[:, -1])
        tokens = logits[-1].index_fill(-1, torch.tensor(case.NEVER), -torch.inf).argmax(-1, keepdim=True)
        mask = torch.cat([mask, torch.ones_like(tokens)], 1)
        given = {"input_ids": tokens, "attention_mask": mask}
        if positions:
            following = mask.sum(1, keepdim=True) - 1
            several = hasattr(case, "positions")
            given["position_ids"] = (following + model.model.rope_deltas).expand(3, -1, -1) if several else following
        output = model(**given, **cache_argument(model, cache_of(output)))
    return torch.stack(logits)


@pytest.mark.parametrize("longest", ["a video", "a text"])
@pytest.mark.parametrize("reducer", [Identity(), Random(retention=0.3)], ids=["identity", "random"])
def test_a_loop_of_ones_own_over_unequal_rows_with_the_mask_of_the_prompt(case, model, reducer, longest):
    """Where a text is the longest row, the folded prompt is as long as the one given, and yet another."""
    inputs = two_rows(case, model)
    if longest == "a text":
        inputs = case.inputs(model, prompts=(3, 4 * inputs["input_ids"].shape[1]), frames=((2,), ()))
    mask = inputs["attention_mask"]
    with fold(model, reducer), torch.no_grad():
        expected = torch.stack(model.generate(**inputs, **greedy(case), **FULL).logits)
        # Models with several axes need positions for it, unfolded too.
        for positions in (True,) if hasattr(case, "positions") else (False, True):
            counts = positions and not hasattr(case, "positions")
            given = inputs | ({"position_ids": counted(mask)} if counts else {})
            logits = by_hand(case, model, given, mask=mask, positions=positions)
            torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4)


def test_a_mask_of_neither_prompt_is_refused_over_a_folded_cache(case, model):
    inputs = two_rows(case, model)
    mask, token = inputs["attention_mask"], torch.tensor([[20], [21]])
    with fold(model, Random(retention=0.3)) as folded, torch.no_grad():
        output = model(**inputs)
        cache = cache_argument(model, cache_of(output))
        held = folded.last.prompt_after
        for wrong in (mask, torch.ones(2, held, dtype=torch.int64)):
            with pytest.raises(
                ValueError, match=rf"folded cache of {held} tokens, 1 new ones need .* of {held + 1} col"
            ):
                model(input_ids=token, attention_mask=wrong, **cache)
        if not hasattr(case, "positions"):
            with pytest.raises(ValueError, match="got None"):
                model(input_ids=token, position_ids=torch.full((2, 1), held), **cache)
        assert cache_of(output).get_seq_length() == held
