"""The values of every clip, saved clip by clip."""

import numpy as np
import pytest

from vidfold.bench.records import Outcomes

CLIPS = ("one", "two")


def test_clips_are_saved_at_once(tmp_path):
    path = tmp_path / "clips" / "a.npz"
    Outcomes(path, CLIPS).put(1, {"aot 0.1 x": {"top1": 0.25, "fold_ms": 3.0}})
    Outcomes(path, CLIPS).put(0, {"aot 0.1 x": {"top1": 0.5, "fold_ms": 2.0}, "fastv 0.1 x": {"top1": 1.0}})
    outcomes = Outcomes(path, CLIPS)
    assert [outcomes.has(f"{each} x") for each in ("aot 0.1", "fastv 0.1", "aot 0.2")] == [True, False, False]
    assert [outcomes.has("fastv 0.1 x", clip) for clip in (0, 1)] == [True, False]
    found = {name: each.tolist() for name, each in outcomes.arrays("aot 0.1 x").items()}
    assert found == {"top1": [0.5, 0.25], "fold_ms": [2.0, 3.0]}
    assert list(outcomes.arrays("fastv 0.1 x")) == ["top1"]
    assert [each.name for each in path.parent.iterdir()] == ["a.npz"]
    with np.load(path) as file:
        assert file["labels"].tolist() == ["aot 0.1 x", "fastv 0.1 x"]
        assert file["clips"].tolist() == [*CLIPS]
        np.testing.assert_array_equal(file["fold_ms"], [[2.0, 3.0], [np.nan, np.nan]])


def test_archives_with_other_orders_and_fewer_clips_are_read(tmp_path):
    np.savez(tmp_path / "a.npz", labels=["aot 1 x"], clips=["three", "one"], top1=[[3.0, 1.0]])
    outcomes = Outcomes(tmp_path / "a.npz", ("one", "two", "three"))
    np.testing.assert_array_equal(outcomes.arrays("aot 1 x")["top1"], [1.0, np.nan, 3.0])
    assert [outcomes.has("aot 1 x", clip) for clip in range(3)] == [True, False, True]


def test_results_of_other_code_are_dropped(tmp_path):
    outcomes = Outcomes(tmp_path / "a.npz", CLIPS)
    outcomes.put(0, {label: {"top1": 1.0} for label in ("aot 0.1 old", "aot 0.1 new", "aot-paper 0.1 old")})
    outcomes.keep(["aot 0.1 new"])
    found = [outcomes.has(each, 0) for each in ("aot 0.1 old", "aot 0.1 new", "aot-paper 0.1 old")]
    assert found == [False, True, True]


@pytest.mark.parametrize("content", [b"", b"nothing", b"PK\x03\x04half", None])
def test_archive_that_cannot_be_read_is_named(tmp_path, content):
    if content is None:
        np.savez(tmp_path / "a.npz", labels=["aot 1 x"], clips=["another"], top1=[[1.0]])
    else:
        (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz' is not an archive of measured clips \(.*move it away"):
        Outcomes(tmp_path / "a.npz", CLIPS)
