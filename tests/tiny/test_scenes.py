from itertools import combinations

import numpy as np
import pytest

from vidfold.tiny.scenes import COLORS, FRAMES, RANGES, RGB, SCENES, SHAPES, SIZE, render, seeds


def clips(split="train", count=60):
    return [render(seed) for seed in seeds(split, count)]


def test_a_clip_has_the_promised_form():
    for clip in clips():
        assert clip.frames.shape == (FRAMES, SIZE, SIZE, 3)
        assert clip.frames.dtype == np.uint8
        assert clip.labels.shape == (FRAMES, SIZE, SIZE)
        assert clip.labels.dtype == np.uint8
        assert clip.scene in SCENES
        assert 2 <= len(clip.objects) <= 5
        colors = [thing.color for thing in (*clip.objects, clip.dot)]
        assert len(set(colors)) == len(colors)
        assert set(colors) <= set(COLORS)
        assert {thing.shape for thing in clip.objects} <= set(SHAPES)
        assert 5 <= clip.dot.size <= 7 < min(thing.size for thing in clip.objects)


def test_a_seed_alone_decides_the_clip():
    early = render(5)
    render(6)
    late = render(5)
    np.testing.assert_array_equal(early.frames, late.frames)
    np.testing.assert_array_equal(early.labels, late.labels)
    assert early.scene == late.scene
    for one, other in zip(early.objects, late.objects, strict=True):
        assert (one.color, one.shape, one.size, one.first, one.last) == (
            other.color,
            other.shape,
            other.size,
            other.first,
            other.last,
        )
        np.testing.assert_array_equal(one.track, other.track)


def test_the_world_stays_as_the_weights_know_it():
    clip = render(0)
    assert (clip.scene, [(thing.color, thing.shape) for thing in clip.objects], clip.dot.color) == (
        "brick",
        [("orange", "triangle"), ("yellow", "ring"), ("blue", "circle"), ("purple", "triangle")],
        "pink",
    )
    assert int(clip.labels.astype(int).sum()) == 11103
    np.testing.assert_allclose(clip.frames.mean((0, 1, 2)), (137.85, 93.09, 79.52), atol=0.05)


def test_different_seeds_give_different_clips():
    assert not np.array_equal(render(1).frames, render(2).frames)


def test_splits_are_disjoint():
    for one, other in combinations(RANGES.values(), 2):
        assert one.stop <= other.start or other.stop <= one.start


def test_splits_share_no_textures():
    from vidfold.tiny.scenes import _bank

    train, test = _bank(list(RANGES).index("train")), _bank(list(RANGES).index("test"))
    for scene in SCENES:
        assert not any(np.array_equal(a, b) for a in train.textures[scene] for b in test.textures[scene])


def test_seeds_never_leave_their_split():
    assert seeds("test", 3, start=2) == range(2_000_000_002, 2_000_000_005)
    with pytest.raises(ValueError, match="one of train, validation, test; got 'tests'"):
        seeds("tests", 1)
    with pytest.raises(ValueError, match="which leaves it"):
        seeds("validation", 1, start=len(RANGES["validation"]))
    with pytest.raises(ValueError, match="which leaves it"):
        seeds("train", 1, start=-1)


def test_a_seed_of_no_split_is_refused():
    with pytest.raises(ValueError, match="seed 1500000000 belongs to no split"):
        render(1_500_000_000)
    with pytest.raises(ValueError, match="seed -1"):
        render(-1)


def test_pixels_labels_and_facts_tell_the_same_story():
    for clip in clips():
        for label, thing in enumerate((*clip.objects, clip.dot), start=1):
            shown = clip.labels == label
            assert [int(t) for t in np.flatnonzero(shown.any((1, 2)))] == list(range(thing.first, thing.last + 1))
            assert len(thing.track) == thing.last - thing.first + 1
            for (x, y), frame in zip(thing.track, shown[thing.first :], strict=False):
                rows, columns = np.nonzero(frame)
                assert y <= rows.min()
                assert rows.max() < y + thing.size
                assert x <= columns.min()
                assert columns.max() < x + thing.size
            paint = clip.frames[shown].mean(0)
            assert COLORS[np.abs(RGB - paint).sum(1).argmin()] == thing.color
            areas = shown.sum((1, 2))[thing.first : thing.last + 1]
            assert (areas == areas[0]).all(), "something hides a part of it"


def test_big_objects_are_far_from_hidden_by_the_scene():
    for clip in clips(count=20):
        for label in range(1, len(clip.objects) + 1):
            ground = clip.frames[clip.labels == 0].astype(float).mean(0)
            thing = clip.frames[clip.labels == label].astype(float).mean(0)
            assert np.abs(ground - thing).max() > 20
