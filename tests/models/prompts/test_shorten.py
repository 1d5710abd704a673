import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vidfold.models.prompts import shorten as prompt

V, P = 4, 0


def chosen(rows, before, slots):
    places = torch.tensor(rows) == V
    slots = [torch.tensor(each, dtype=torch.int64) for each in slots]
    return prompt.remaining(places, prompt.taken(places, before, slots))


def left(rows, before, slots):
    """Columns left of every row."""
    positions, length = chosen(rows, before, slots).tolist(), len(rows[0])
    return [[each % length for each in positions if each // length == row] for row in range(len(rows))]


def test_each_video_takes_its_own_placeholders():
    rows = [[1, V, V, V, 5, V, V, 6], [V, V, V, 5, 6, 7, 8, 9]]
    assert left(rows, before=[3, 2, 3], slots=[[2], [0, 1], [0, 2]]) == [[0, 3, 4, 5, 6, 7], [0, 2, 3, 4, 5, 6, 7]]


def test_two_tokens_may_share_a_place():
    assert left([[1, V, V, 5]], before=[2], slots=[[0, 0, 1]]) == [[0, 1, 1, 2, 3]]


def test_a_row_may_have_no_video_and_a_video_no_token():
    assert left([[1, 5, 6], [V, V, 5]], before=[2], slots=[[1]]) == [[0, 1, 2], [1, 2]]
    assert left([[1, 5, 6], [V, V, 5]], before=[2], slots=[[]]) == [[0, 1, 2], [2]]


@pytest.mark.parametrize(
    ("rows", "before"),
    [([[1, 5, 6]], [2]), ([[V, V, V]], [2]), ([[V, V], [V, V]], [1, 3]), ([[V, V]], []), ([[V, V]], [2, 2])],
)
def test_placeholders_that_do_not_match_are_quoted(rows, before):
    with pytest.raises(ValueError, match="placeholders") as error:
        chosen(rows, before, [[0]] * len(before))
    assert str(before) in str(error.value)
    assert str([row.count(V) for row in rows]) in str(error.value)


def test_a_place_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"\[2\] placeholders have none to take at \[2\]"):
        chosen([[V, V]], [2], [[0, 1, 2]])


def test_shorten_pads_left_and_takes_everything_along():
    ids = torch.tensor([[P, 1, V, V, V, 5], [1, V, V, V, 5, 6]])
    given_inputs = {
        "input_ids": ids,
        "attention_mask": (ids != P).long(),
        "labels": ids,
        "position_ids": torch.arange(6).expand(3, 2, 6),
        "pixel_values_videos": None,
    }
    stays = torch.tensor([0, 1, 2, 5, 6, 7, 9, 10, 11])
    short = prompt.shorten(given_inputs, stays, pad=9)
    assert short["input_ids"].tolist() == [[9, 9, 1, V, 5], [1, V, V, 5, 6]]
    assert short["attention_mask"].tolist() == [[0, 0, 1, 1, 1], [1] * 5]
    assert short["labels"].tolist() == [[-100, -100, 1, V, 5], [1, V, V, 5, 6]]
    assert short["position_ids"][2].tolist() == [[0, 0, 1, 2, 5], [0, 1, 3, 4, 5]]
    assert set(short) == {"input_ids", "attention_mask", "labels", "position_ids"}


def test_shorten_pads_right_where_the_prompts_were():
    ids = torch.tensor([[1, V, V, 5, P], [1, V, V, 5, 6]])
    stays = torch.tensor([0, 1, 3, 4, 5, 6, 8, 9])
    short = prompt.shorten({"input_ids": ids, "attention_mask": (ids != P).long()}, stays, pad=P)
    assert short["input_ids"].tolist() == [[1, V, 5, P], [1, V, 5, 6]]
    assert short["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 2), min_size=7, max_size=7), min_size=1, max_size=4).filter(
        lambda rows: any(map(any, rows))
    ),
    st.booleans(),
)
def test_shorten_equals_doing_it_row_by_row(times, right):
    ids = torch.arange(1, 7 * len(times) + 1).view(len(times), 7)
    mask = torch.ones_like(ids)
    if right:
        mask[0, -1] = 0
    times = torch.tensor(times)
    positions = torch.arange(times.numel()).repeat_interleave(times.flatten())
    short = prompt.shorten({"input_ids": ids, "attention_mask": mask}, positions, pad=P)
    rows = [row.repeat_interleave(n * real).tolist() for row, n, real in zip(ids, times, mask, strict=True)]
    longest = max(map(len, rows))
    pads = [[P] * (longest - len(row)) for row in rows]
    assert short["input_ids"].tolist() == [r + p if right else p + r for r, p in zip(rows, pads, strict=True)]


@pytest.mark.parametrize(
    ("name", "value", "quoted"),
    [
        ("labels", torch.zeros(2, 5), r"\(2, 5\)"),
        ("attention_mask", torch.zeros(2, 1, 4, 4), r"\(2, 1, 4, 4\)"),
        ("position_ids", [1, 2], "list"),
    ],
)
def test_shorten_refuses_what_does_not_go_with_the_ids(name, value, quoted):
    ids = torch.ones(2, 4, dtype=torch.long)
    with pytest.raises(ValueError, match=quoted):
        prompt.shorten({"input_ids": ids, name: value}, torch.arange(8), pad=P)
