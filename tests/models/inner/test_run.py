import pytest
import torch

from vidfold import Reduction
from vidfold.drops import Drop
from vidfold.models.inner.run import Run

HALF = (Drop(1, 0.5, 0),)


def video(cells):
    """A reduction of a 2 x 2 grid whose tokens are given by their cells; 4 and 5 are newlines."""
    count = len(cells)
    return Reduction(torch.zeros(count, 3), torch.zeros(count).long(), torch.tensor(cells), (2, 2), full=4)


def rows(*lines):
    """Prompts as words: v a place of a video, t text, . padding."""
    places = torch.tensor([[letter == "v" for letter in line] for line in lines])
    mask = torch.tensor([[int(letter != ".") for letter in line] for line in lines])
    return places, mask


def test_segments_distinguish_videos_text_newlines_and_padding():
    videos = [video([0, 1, 4, 2, 3, 5]), video([0, 1, 2, 3]), video([0, 3])]
    places, mask = rows("..tvvvvvvvttt", "tvvvvvtvvvttt")
    run = Run.of(places, mask, videos, 1, HALF)
    assert run.segments.tolist() == [
        [4, 4, 3, 0, 0, 3, 0, 0, 3, 3, 3, 3, 3],
        [3, 1, 1, 1, 1, 3, 3, 2, 2, 3, 3, 3, 3],
    ]
    assert run.asking.tolist() == [12, 12]
    assert not run.right
    limit = run.limits[1]
    assert limit.tokens.tolist()[:3] == [2, 2, 1]
    assert (limit.width, limit.padded) == (10, True)


def test_length_is_that_of_the_longest_row():
    limit = Run.of(*rows("tvvvvt", "..vvvv"), [video([0, 1, 2, 3])] * 2, 0, HALF).limits[1]
    assert (limit.width, limit.padded) == (4, True)
    limit = Run.of(*rows("tvvvvt", "tvvvvt"), [video([0, 1, 2, 3])] * 2, 0, HALF).limits[1]
    assert (limit.width, limit.padded) == (4, False)


def test_drop_that_keeps_everything_does_nothing():
    drops = (Drop(1, 1.0, 0), Drop(2, 0.9, 2), Drop(3, 0.5, 3))
    assert list(Run.of(*rows("tvvvvt"), [video([0, 1, 2, 3])], 0, drops).limits) == [3]
    assert Run.of(*rows("tvt"), [video([0])], 0, drops).limits == {}


@pytest.mark.parametrize(
    ("line", "labelled", "asking"),
    [("tvvvvttttt", [8, 9], 7), (".tvvvvttt.", [7, 8], 6), ("tvvvvttttt", [], 9), ("tvvvvttttt", range(10), 4)],
)
def test_with_labels_the_token_before_the_answer_ranks(line, labelled, asking):
    labels = torch.full((1, 10), -100)
    labels[0, list(labelled)] = 5
    run = Run.of(*rows(line), [video([0, 1, 2, 3])], 0, HALF, labels)
    assert run.asking.tolist() == [asking]
    assert run.right == (line[-1] == ".")


def test_dropping_keeps_the_order_and_aligns_rows_on_the_side_of_their_end():
    videos = [video([0, 1, 2, 3]), video([0, 1])]
    for lines, columns in [
        (("tvvvvtt", "..tvvtt"), [[0, 2, 4, 5, 6], [2, 4, 5, 6]]),
        (("tvvvvtt", "tvvtt.."), [[0, 2, 4, 5, 6], [0, 2, 3, 4]]),
    ]:
        run = Run.of(*rows(*lines), videos, 0, HALF)
        first = run.begin(2, 7)
        scores = torch.tensor([[0, 1, 9, 2, 8, 0, 0], [0, 0, 1, 0, 2, 0, 0]]).float()
        if run.right:
            scores[1] = torch.tensor([0, 1, 2, 0, 0, 0, 0])
        stage, index = run.drop(1, first, scores, more=0)
        assert run.stages[1] is stage
        real = run.real(stage)
        assert [stage.columns[row][real[row]].tolist() for row in range(2)] == columns
        assert real[1].tolist() == ([True] * 4 + [False] if run.right else [False] + [True] * 4)
        assert torch.equal(first.columns.gather(1, index), stage.columns)


def test_copied_rows_and_generated_tokens():
    run = Run.of(*rows("tvvvvtt", "..tvvtt"), [video([0, 1, 2, 3]), video([0, 1])], 0, HALF)
    stage = run.begin(6, 9)
    assert stage.segments[[0, 2]].tolist() == [[2, 0, 0, 0, 0, 2, 2, 2, 2]] * 2
    assert stage.segments[[3, 5]].tolist() == [[3, 3, 2, 1, 1, 2, 2, 2, 2]] * 2
    query, visible = run.question(stage)
    assert query.tolist() == [6] * 6
    assert visible[3].tolist() == [False, False, True, True, True, True, True, False, False]
    left, _ = run.drop(1, stage, torch.zeros(6, 9), more=2)
    assert left.columns[0].tolist() == [0, 1, 2, 5, 6, 7, 8]
    assert run.question(left)[0].tolist() == [4] * 6
    alone = Run.of(*rows("tvvvvtt"), [video([0, 1, 2, 3])], 0, HALF)
    left, _ = alone.drop(1, alone.begin(1, 9), torch.zeros(1, 9), more=2)
    assert left.columns.tolist() == [[0, 1, 2, 5, 6, 7, 8]]


def test_part_of_the_prompt_raises():
    run = Run.of(*rows("tvvvvtt"), [video([0, 1, 2, 3])], 0, HALF)
    with pytest.raises(ValueError, match=r"3 of the prompt's 7 tokens.*prefill_chunk_size"):
        run.begin(1, 3)
