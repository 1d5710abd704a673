import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vidfold.models.prompts import shorten as prompt

V, P = 4, 0


def chosen(rows, before, slots):
    places = torch.tensor(rows) == V
    slots = [torch.tensor(each, dtype=torch.int64) for each in slots]
    return prompt.remaining(places, prompt.taken(places, list(zip(before, slots, strict=True))))


def left(rows, before, slots):
    """Columns left of every row."""
    positions, length = chosen(rows, before, slots).tolist(), len(rows[0])
    return [[each % length for each in positions if each // length == row] for row in range(len(rows))]


def test_each_video_takes_its_own_placeholders():
    rows = [[1, V, V, V, 5, V, V, 6], [V, V, V, 5, 6, 7, 8, 9]]
    assert left(rows, before=[3, 2, 3], slots=[[2], [0, 1], [0, 2]]) == [[0, 3, 4, 5, 6, 7], [0, 2, 3, 4, 5, 6, 7]]


def test_two_tokens_in_one_cell():
    assert left([[1, V, V, 5]], before=[2], slots=[[0, 0, 1]]) == [[0, 1, 1, 2, 3]]


def test_rows_without_video_and_videos_without_tokens():
    assert left([[1, 5, 6], [V, V, 5]], before=[2], slots=[[1]]) == [[0, 1, 2], [1, 2]]
    assert left([[1, 5, 6], [V, V, 5]], before=[2], slots=[[]]) == [[0, 1, 2], [2]]


@pytest.mark.parametrize(
    ("rows", "before"),
    [([[1, 5, 6]], [2]), ([[V, V, V]], [2]), ([[V, V], [V, V]], [1, 3]), ([[V, V]], []), ([[V, V]], [2, 2])],
)
def test_error_quotes_mismatched_placeholders(rows, before):
    with pytest.raises(ValueError, match="placeholders") as error:
        chosen(rows, before, [[0]] * len(before))
    assert str(before) in str(error.value)
    assert str([row.count(V) for row in rows]) in str(error.value)


def test_missing_place_raises():
    with pytest.raises(ValueError, match=r"\[2\] placeholders have none to take at \[2\]"):
        chosen([[V, V]], [2], [[0, 1, 2]])


def test_shorten_pads_left_and_shortens_all_tensors():
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
    assert short["input_ids"].tolist() == [[9, P, 1, V, 5], [1, V, V, 5, 6]]
    assert short["attention_mask"].tolist() == [[0, 0, 1, 1, 1], [1] * 5]
    assert short["labels"].tolist() == [[-100, P, 1, V, 5], [1, V, V, 5, 6]]
    assert short["position_ids"][2].tolist() == [[0, 0, 1, 2, 5], [0, 1, 3, 4, 5]]
    assert set(short) == {"input_ids", "attention_mask", "labels", "position_ids"}


def test_shorten_pads_right_where_the_prompts_were():
    ids = torch.tensor([[1, V, V, 5, P], [1, V, V, 5, 6]])
    stays = torch.tensor([0, 1, 3, 4, 5, 6, 8, 9])
    short = prompt.shorten({"input_ids": ids, "attention_mask": (ids != P).long()}, stays, pad=P)
    assert short["input_ids"].tolist() == [[1, V, 5, P], [1, V, 5, 6]]
    assert short["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]


masks = st.lists(st.lists(st.integers(0, 1), min_size=7, max_size=7), min_size=1, max_size=4)


@given(masks, st.sampled_from([torch.int64, torch.int32, torch.bool, torch.float32]))
def test_nothing_changes_where_everything_is_chosen(masks, dtype):
    mask = torch.tensor(masks).to(dtype)
    ids = torch.arange(1, mask.numel() + 1).view_as(mask)
    short = prompt.shorten({"input_ids": ids, "attention_mask": mask}, torch.arange(ids.numel()), pad=P)
    assert torch.equal(short["input_ids"], ids)
    assert torch.equal(short["attention_mask"], mask)
    assert short["attention_mask"].dtype == dtype
    assert set(prompt.shorten({"input_ids": ids}, torch.arange(ids.numel()), pad=P)) == {"input_ids"}


@given(masks, st.data())
def test_shorten_equals_a_loop_over_rows(masks, data):
    mask = torch.tensor(masks)
    ids = torch.arange(1, mask.numel() + 1).view_as(mask)
    first, last = mask.cumsum(1) == 0, mask.flip(1).cumsum(1).flip(1) == 0
    # What is no padding at the ends of a row may go, or come twice.
    times = torch.tensor(data.draw(st.lists(st.integers(0, 2), min_size=mask.numel(), max_size=mask.numel())))
    times = times.view_as(mask).masked_fill(first | last, 1)
    chosen = torch.arange(mask.numel()).repeat_interleave(times.flatten())
    short = prompt.shorten({"input_ids": ids, "attention_mask": mask}, chosen, pad=P)
    rows = []
    for number in range(len(mask)):
        row = ids[number].repeat_interleave(times[number]).tolist()
        real = mask[number].repeat_interleave(times[number]).tolist()
        left, right = int(first[number].sum()), 0 if first[number].all() else int(last[number].sum())
        rows.append((row, real, left, right))
    width = max(len(row) - left - right for row, _, left, right in rows) + min(a + b for *_, a, b in rows)
    on_right = any(right for *_, right in rows)
    for number, (row, real, left, right) in enumerate(rows):
        cut = max(0, len(row) - width)
        ahead = max(0, cut - right) if on_right else min(cut, left)
        row, real = (each[ahead : len(each) - (cut - ahead)] for each in (row, real))
        pads = [P] * (width - len(row))
        assert short["input_ids"][number].tolist() == (row + pads if on_right else pads + row)
        assert short["attention_mask"][number].tolist() == (real + pads if on_right else pads + real)


def test_a_mask_of_queries_and_keys_loses_both():
    ids = torch.tensor([[1, V, V, 5], [1, V, V, 5]])
    chosen = torch.tensor([0, 1, 3, 4, 5, 6, 7])
    causal = torch.ones(1, 1, 4, 4, dtype=torch.bool).tril()
    for mask in (causal, torch.zeros(1, 1, 4, 4).masked_fill(~causal, torch.finfo(torch.float32).min)):
        short = prompt.shorten({"input_ids": ids, "attention_mask": mask}, chosen, pad=P)["attention_mask"]
        seen = short if mask.dtype == torch.bool else short == 0
        assert short.dtype == mask.dtype
        assert torch.equal(seen[0, 0, 1:, 1:], causal[0, 0, :3, :3])
        assert not seen[0, 0, 1:, 0].any()
        assert seen.any(-1).all()
        assert torch.equal(seen[1, 0], causal[0, 0])


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        ([[0, 1, 2, 3, 4, 5, 6, 7]], [0, 1, 2, 3, 4]),
        ([[5, 6, 7, 8, 9, 10, 11, 12]], [5, 6, 7, 8, 9]),
        ([[0, 1, 2, 3, 0, 1, 2, 3]], [0, 1, 0, 1, 2]),
        ([[1, 1, 0, 1, 2, 3, 4, 5]], [1, 0, 1, 2, 3]),
    ],
    ids=["from 0", "from 5", "two sequences", "padding"],
)
def test_positions_close_up(positions, expected):
    kept = torch.tensor([[True, False, True, False, True, False, True, True]])
    assert prompt.closed_up(torch.tensor(positions), kept)[kept].tolist() == expected


@pytest.mark.parametrize(
    ("name", "value", "quoted"),
    [
        ("labels", torch.zeros(2, 5), r"\(2, 5\)"),
        ("attention_mask", torch.zeros(2, 1, 4, 5), r"\(2, 1, 4, 5\)"),
        ("attention_mask", torch.zeros(1, 4), r"\(1, 4\)"),
        ("position_ids", [1, 2], "list"),
    ],
)
def test_mismatched_tensors_are_refused(name, value, quoted):
    ids = torch.ones(2, 4, dtype=torch.long)
    with pytest.raises(ValueError, match=quoted):
        prompt.check({"input_ids": ids, name: value})
