"""Which frames are taken, by what they show."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from tests.video.test_sampling import film
from vidfold.video import sample
from vidfold.video.choosing import CHOOSERS, cheapest_runs, cuts, looked_at, thumbnail
from vidfold.video.decoding import Decoder
from vidfold.video.index import Index
from vidfold.video.sources import Source
from vidfold.video.writing import write

RATE = 25


def video(tmp_path, *shots, size=(48, 64)):
    """A file of shots (frames, brightness, whether it moves); returns its path."""
    pictures = []
    for frames, brightness, moves in shots:
        for index in range(frames):
            picture = np.full((*size, 3), brightness, np.uint8)
            if moves:
                picture[:, (index * 2) % size[1] :][:, :16] = 255 - brightness
            pictures.append(picture)
    path = tmp_path / "video.mp4"
    write(path, np.stack(pictures), fps=RATE, scale=1)
    return path


def taken(path, frames, choose):
    """Numbers of the frames that were taken."""
    return np.round(sample(path, frames, choose=choose).timestamps * RATE).astype(int).tolist()


def test_every_scene_has_its_share(tmp_path):
    path = video(tmp_path, (100, 40, False), (20, 200, False), (80, 120, False))
    numbers = taken(path, 10, "scenes")
    assert [sum(first <= each < last for each in numbers) for first, last in ((0, 100), (100, 120), (120, 200))] == [
        5,
        1,
        4,
    ]
    assert all(abs(each - cut) > 4 for each in numbers for cut in (100, 120)), "a frame at a cut"
    assert [each < 100 for each in taken(path, 1, "scenes")] == [True]
    two = taken(path, 2, "scenes")
    assert [two[0] < 100, two[1] >= 120] == [True, True], "the longest shots come first"


def test_black_is_not_taken(tmp_path):
    path = video(tmp_path, (60, 0, False), (60, 150, False), (40, 0, False))
    for choose in ("scenes", "novel"):
        assert sum(60 <= each < 120 for each in taken(path, 1, choose)) <= 1
        assert any(60 <= each < 120 for each in taken(path, 3, choose))
    dark = video(tmp_path, (80, 0, False))
    assert len(taken(dark, 4, "scenes")) == len(taken(dark, 4, "novel")) == 4


def test_novel_frames_follow_what_changes(tmp_path):
    path = video(tmp_path, (100, 60, False), (30, 60, True), (100, 60, False))
    numbers = taken(path, 9, "novel")
    assert sum(100 <= each < 130 for each in numbers) >= 6
    assert numbers[0] < 100
    assert numbers[-1] >= 130


@pytest.mark.parametrize("choose", CHOOSERS)
def test_a_video_that_never_changes_is_sampled_evenly(tmp_path, choose):
    numbers = taken(video(tmp_path, (160, 90, False)), 8, choose)
    assert max(np.diff(numbers)) <= 24
    assert numbers[0] <= 16
    assert numbers[-1] >= 140


@pytest.mark.parametrize("choose", CHOOSERS)
@pytest.mark.parametrize("frames", [1, 2, 7, 39, 40, 100])
def test_as_many_different_frames_as_there_are(tmp_path, choose, frames):
    found = sample(film(tmp_path / "clip.mp4"), frames, choose=choose)
    assert len(found) == min(frames, 40)
    assert (np.diff(found.timestamps) > 0).all()
    again = sample(film(tmp_path / "clip.mp4"), frames, choose=choose)
    assert np.array_equal(found.pixels, again.pixels)


def test_many_cuts(tmp_path):
    path = video(tmp_path, *[(1, 255 * (number % 2), False) for number in range(80)])
    assert len(taken(path, 8, "scenes")) == 8


def test_a_hundred_thousand_cuts():
    looks = np.repeat(0.2 + 0.6 * (np.arange(100_001) % 2), 4)[:, None]
    assert len(cuts(looks)) == 100_000
    numbers = CHOOSERS["scenes"].choose(looks, np.ones(len(looks)), 8)
    assert len(numbers) == 8
    assert (np.diff(numbers) > 0).all()


def test_unknown_way(tmp_path):
    with pytest.raises(ValueError, match="unknown way to choose frames 'scene'; did you mean 'scenes'"):
        sample(film(tmp_path / "clip.mp4"), 4, choose="scene")


def test_keyframes_are_looked_at_where_they_are_near(tmp_path):
    path = film(tmp_path / "clip.mp4", 2000, size=(32, 32), gop=10)
    with Decoder(Source(str(path), None)) as decoder:
        positions = looked_at(decoder.index, 8)
        assert (np.diff(positions) > 0).all()
        assert len(positions) >= 60
        keys = np.searchsorted(decoder.index.ticks, decoder.index.keys[:, 0])
        assert np.isin(positions, keys).mean() > 0.9
        for _ in decoder.at(positions.tolist()):
            pass
        assert decoder.decoded < 4 * len(positions)


def test_no_fewer_frames_are_looked_at_than_taken():
    ticks = np.arange(1100)
    keys = np.stack([ticks[::2], np.ones(550, np.int64)], axis=1)
    index = Index(ticks, 1100, Fraction(1, 25), keys)
    for frames in (1, 60, 1000, 1090):
        assert len(looked_at(index, frames)) >= frames


def test_thumbnail_is_the_mean_of_cells():
    picture = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    cells = picture.reshape(8, 2, 8, 3, 3).mean((1, 3)) / 255
    np.testing.assert_allclose(thumbnail(picture), cells.ravel())
    assert thumbnail(picture[:3, :5]).shape == (192,)
    assert thumbnail(np.full((720, 1281, 3), 51, np.uint8)) == pytest.approx(0.2)


def test_runs_are_the_cheapest_of_all():
    generator = np.random.default_rng(1)
    points, weights = generator.normal(size=(9, 2)), generator.random(9) + 0.1

    def cost(edges):
        total = 0.0
        for first, last in itertools.pairwise(edges):
            mean = np.average(points[first:last], axis=0, weights=weights[first:last])
            total += (weights[first:last, None] * (points[first:last] - mean) ** 2).sum()
        return total

    for runs in (1, 2, 3, 5, 9):
        every = [(0, *inner, 9) for inner in itertools.combinations(range(1, 9), runs - 1)]
        assert cost(cheapest_runs(points, weights, runs)) == pytest.approx(min(map(cost, every)))


def test_a_cut_is_a_lone_step():
    looks = np.zeros((12, 4))
    looks[6:] = 0.5
    assert cuts(looks).tolist() == [6]
    assert cuts(np.linspace(0, 1, 12)[:, None] * np.ones(4)).tolist() == [], "a steady change is no cut"
    assert cuts(np.zeros((1, 4))).tolist() == []
