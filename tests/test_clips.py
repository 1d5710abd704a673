import pytest
import torch

from vidfold.clips import Clips

CLIPS = Clips.beginning(torch.tensor([True, False, True, True, False, False, True]), longest=5)


def test_clip_of_each_frame():
    assert CLIPS.starts.tolist() == [0, 2, 3, 6, 7, 7, 7]
    assert CLIPS.lengths.tolist() == [2, 1, 3, 1, 0, 0, 0]
    assert CLIPS.clip_of.tolist() == [0, 0, 1, 2, 2, 2, 3]
    assert CLIPS.first.tolist() == [0, 0, 2, 3, 3, 3, 6]
    assert CLIPS.length.tolist() == [2, 2, 1, 3, 3, 3, 1]
    assert CLIPS.position.tolist() == [0, 1, 0, 0, 1, 2, 0]
    assert CLIPS.most == 4


def test_padded_members():
    assert CLIPS.there.sum(1).tolist() == CLIPS.lengths.tolist()
    assert CLIPS.members[CLIPS.there].tolist() == list(range(7))
    assert CLIPS.members.max() == 6, "padding is a frame, too"
    rows = CLIPS.rows(torch.arange(14).view(7, 2, 1), slice(1, 3))
    assert rows.shape == (2, 10, 1)
    assert rows[0, :2, 0].tolist() == [4, 5]
    assert rows[1, :6, 0].tolist() == [6, 7, 8, 9, 10, 11]


@pytest.mark.parametrize("total", [1, 6, 7, 23])
def test_shares_are_exact_and_in_proportion(total):
    shares = CLIPS.shares(total)
    assert shares.sum() == total
    assert ((shares - total * CLIPS.lengths / 7).abs() < 1).all()
    assert (shares[4:] == 0).all()


def test_compact_drops_empty_clips():
    compact = CLIPS.compact()
    assert compact.starts.tolist() == [0, 2, 3, 6]
    assert compact.longest == 3
    assert compact.clip_of.equal(CLIPS.clip_of)
    even = Clips(torch.tensor([0, 2, 4]), torch.tensor([2, 2, 1]), 5, 2)
    assert even.compact() is even
