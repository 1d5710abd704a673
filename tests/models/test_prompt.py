import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vidfold.models import prompt

V, P = 4, 0


def kept(rows, before, after):
    return prompt.keep(torch.tensor(rows) == V, before, after)


def test_each_video_keeps_its_first_placeholders():
    rows = [[1, V, V, V, 5, V, V, 6], [V, V, V, 5, 6, 7, 8, 9]]
    stays = kept(rows, before=[3, 2, 3], after=[1, 2, 2])
    assert stays.tolist() == [
        [True, True, False, False, True, True, True, True],
        [True, True, False, True, True, True, True, True],
    ]


def test_a_row_may_have_no_video():
    assert kept([[1, 5, 6], [V, V, 5]], before=[2], after=[1]).tolist() == [[True] * 3, [True, False, True]]


@pytest.mark.parametrize(
    ("rows", "before"),
    [([[1, 5, 6]], [2]), ([[V, V, V]], [2]), ([[V, V], [V, V]], [1, 3]), ([[V, V]], []), ([[V, V]], [2, 2])],
)
def test_placeholders_that_do_not_match_are_quoted(rows, before):
    with pytest.raises(ValueError, match="placeholders") as error:
        kept(rows, before, before)
    assert str(before) in str(error.value)
    assert str([row.count(V) for row in rows]) in str(error.value)


def test_more_tokens_than_places_are_refused():
    with pytest.raises(ValueError, match="cannot take"):
        kept([[V, V]], [2], [3])


def test_shorten_pads_left_and_takes_everything_along():
    ids = torch.tensor([[P, 1, V, V, V, 5], [1, V, V, V, 5, 6]])
    given_inputs = {
        "input_ids": ids,
        "attention_mask": (ids != P).long(),
        "labels": ids,
        "position_ids": torch.arange(6).expand(3, 2, 6),
        "pixel_values_videos": None,
    }
    stays = torch.ones_like(ids, dtype=torch.bool)
    stays[0, 3:5] = False
    stays[1, 2] = False
    short = prompt.shorten(given_inputs, stays, pad=9)
    assert short["input_ids"].tolist() == [[9, 9, 1, V, 5], [1, V, V, 5, 6]]
    assert short["attention_mask"].tolist() == [[0, 0, 1, 1, 1], [1] * 5]
    assert short["labels"].tolist() == [[-100, -100, 1, V, 5], [1, V, V, 5, 6]]
    assert short["position_ids"][2].tolist() == [[0, 0, 1, 2, 5], [0, 1, 3, 4, 5]]
    assert set(short) == {"input_ids", "attention_mask", "labels", "position_ids"}


def test_shorten_pads_right_where_the_prompts_were():
    ids = torch.tensor([[1, V, V, 5, P], [1, V, V, 5, 6]])
    stays = torch.ones_like(ids, dtype=torch.bool)
    stays[:, 2] = False
    short = prompt.shorten({"input_ids": ids, "attention_mask": (ids != P).long()}, stays, pad=P)
    assert short["input_ids"].tolist() == [[1, V, 5, P], [1, V, 5, 6]]
    assert short["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]


@settings(deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=7, max_size=7), min_size=1, max_size=4), st.booleans())
def test_shorten_equals_doing_it_row_by_row(stays, right):
    ids = torch.arange(1, 7 * len(stays) + 1).view(len(stays), 7)
    mask = torch.ones_like(ids)
    if right:
        mask[0, -1] = 0
    stays = torch.tensor(stays)
    short = prompt.shorten({"input_ids": ids, "attention_mask": mask}, stays, pad=P)
    rows = [row[keep & real.bool()].tolist() for row, keep, real in zip(ids, stays, mask, strict=True)]
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
        prompt.shorten({"input_ids": ids, name: value}, ids.bool(), pad=P)
