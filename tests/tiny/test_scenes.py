import hashlib
from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import pytest

from tests.tiny.clips import some
from vidfold.tiny.casting import MAX_DOTS, MAX_OBJECTS, MAX_SHOTS, SHORTEST_SHOT
from vidfold.tiny.scenes import FRAMES, RANGES, SECOND_WORLD, render, seeds, split_of, world_of
from vidfold.tiny.textures import MARGIN, SIZE, TEXTURES, bank
from vidfold.tiny.worlds import COLORS, LOOKS, SCENES, SHAPES, WORLDS

CASES = [(world, frames) for world in WORLDS for frames in (FRAMES, 16, 32)]


@pytest.fixture(scope="module", params=CASES, ids="{0[0]}-{0[1]}".format)
def clips(request):
    """Clips of one world and one length."""
    return some(*request.param)


def things(clip):
    return (*clip.objects, *clip.dots)


def assert_same(one, other):
    np.testing.assert_array_equal(one.frames, other.frames)
    np.testing.assert_array_equal(one.labels, other.labels)
    for thing, twin in zip(things(one), things(other), strict=True):
        assert (thing.color, thing.shape, thing.size) == (twin.color, twin.shape, twin.size)
        for here, there in zip(thing.appearances, twin.appearances, strict=True):
            assert (here.first, here.last) == (there.first, there.last)
            np.testing.assert_array_equal(here.track, there.track)
    for shot, twin in zip(one.shots, other.shots, strict=True):
        assert (shot.scene, shot.first, shot.last, shot.texture) == (twin.scene, twin.first, twin.last, twin.texture)
        np.testing.assert_array_equal(shot.corner, twin.corner)


def test_shapes_dtypes_and_counts(clips):
    frames = len(clips[0].frames)
    for clip in clips:
        look = LOOKS[world_of(clip.seed)]
        assert clip.frames.shape == (frames, SIZE, SIZE, 3)
        assert clip.labels.shape == (frames, SIZE, SIZE)
        assert clip.frames.dtype == clip.labels.dtype == np.uint8
        assert 2 <= len(clip.objects) <= MAX_OBJECTS
        assert len(clip.dots) <= MAX_DOTS
        assert {thing.shape for thing in clip.objects} <= set(SHAPES)
        assert all(thing.size in range(*look.big) for thing in clip.objects)
        assert all(dot.size in range(*look.tiny) for dot in clip.dots)


def test_colours_are_unique(clips):
    for clip in clips:
        colors = [thing.color for thing in things(clip)]
        assert len(set(colors)) == len(colors)
        assert set(colors) <= set(COLORS)
    assert {len(clip.dots) for clip in clips} >= {1, 2, 3}


def test_clips_of_a_seed_are_the_same_to_the_bit():
    """Shipped weights and recorded results depend on them."""
    pixels, labels = hashlib.sha256(), hashlib.sha256()
    for split in RANGES:
        for frames in (1, 8, 19):
            first, second = (render(*seeds(split, 1, start=5, world=world), frames) for world in WORLDS)
            pixels.update(first.frames.tobytes())  # the second world takes float32 sines, which differ by machine
            labels.update(first.labels.tobytes() + second.labels.tobytes())
    assert (pixels.hexdigest()[:16], labels.hexdigest()[:16]) == ("bf382d24b593ffc6", "8bf3acf65312de7c")


@pytest.mark.parametrize("world", WORLDS)
def test_clip_depends_only_on_seed_and_length(world):
    one, other = seeds("search", 2, world=world)
    early = render(one, 16)
    render(other, 16), render(one, 8)
    assert_same(early, render(one, 16))
    assert not np.array_equal(early.frames, render(other, 16).frames)
    assert not np.array_equal(early.frames[:8], render(one, 8).frames)


@pytest.mark.parametrize(
    ("seed", "scenes", "colors", "dots", "labels", "mean"),
    [
        (
            0,
            [("night", 0), ("grass", 4), ("brick", 8), ("snow", 12)],
            [("orange", "cross"), ("purple", "cross"), ("blue", "square")],
            ["yellow"],
            17077,
            (118.31, 114.48, 107.13),
        ),
        (
            SECOND_WORLD,
            [("grass", 0), ("sand", 5)],
            [("pink", "ring"), ("yellow", "square"), ("purple", "circle"), ("cyan", "square")],
            ["green", "orange", "blue"],
            38316,
            (165.79, 153.42, 123.42),
        ),
    ],
)
def test_clips_of_the_shipped_weights_do_not_change(seed, scenes, colors, dots, labels, mean):
    clip = render(seed, 16)
    assert [(shot.scene, shot.first) for shot in clip.shots] == scenes
    assert [(thing.color, thing.shape) for thing in clip.objects] == colors
    assert [dot.color for dot in clip.dots] == dots
    assert int(clip.labels.astype(int).sum()) == labels
    np.testing.assert_allclose(clip.frames.mean((0, 1, 2)), mean, atol=0.05)


def test_pixels_labels_and_facts_agree(clips):
    for clip in clips:
        look = LOOKS[world_of(clip.seed)]
        told = np.zeros_like(clip.labels)
        for label, thing in enumerate(things(clip), start=1):
            mask = look.silhouette(thing.shape, thing.size)
            for appearance in thing.appearances:
                assert len(appearance.track) == appearance.last - appearance.first + 1
                for frame, (x, y) in enumerate(appearance.track, start=appearance.first):
                    told[frame, y : y + thing.size, x : x + thing.size][mask] = label
            paint = max(clip.frames[clip.labels == label].astype(int).tolist(), key=sum)  # the rim is darker
            assert COLORS[np.abs(look.palette - paint).sum(1).argmin()] == thing.color
        np.testing.assert_array_equal(told, clip.labels)


def test_nothing_overlaps(clips):
    for clip in clips:
        for one, other in combinations(things(clip), 2):
            gap = 2 if "dot" in (one.shape, other.shape) else 1
            for here in one.appearances:
                for there in other.appearances:
                    for frame in range(max(here.first, there.first), min(here.last, there.last) + 1):
                        apart = there.track[frame - there.first] - here.track[frame - here.first]
                        assert max(*(apart - one.size), *(-apart - other.size)) >= gap


def test_shots_are_consecutive(clips):
    frames = len(clips[0].frames)
    for clip in clips:
        assert [clip.shots[0].first, clip.shots[-1].last] == [0, frames - 1]
        for shot, later in pairwise(clip.shots):
            assert later.first == shot.last + 1
            assert later.scene != shot.scene
        assert all(shot.last - shot.first + 1 >= SHORTEST_SHOT for shot in clip.shots)
        assert [clip.scene_at(frame) for frame in range(frames)] == [
            shot.scene for shot in clip.shots for _ in range(shot.first, shot.last + 1)
        ]
    assert {len(clip.shots) for clip in clips} == set(range(1, min(MAX_SHOTS, frames // SHORTEST_SHOT) + 1))


def test_objects_appear_at_most_once_per_shot_and_dots_once(clips):
    for clip in clips:
        for thing in things(clip):
            spans = [
                [shot for shot in clip.shots if shot.first <= appearance.first <= appearance.last <= shot.last]
                for appearance in thing.appearances
            ]
            assert all(len(span) == 1 for span in spans)
            firsts = [span[0].first for span in spans]
            assert firsts == sorted(set(firsts))
            assert thing.first == thing.appearances[0].first
        assert all(len(dot.appearances) == 1 for dot in clip.dots)


@pytest.mark.parametrize("world", WORLDS)
def test_objects_and_places_come_back(world):
    clips = some(world, 32)
    assert Counter(len(thing.appearances) for clip in clips for thing in clip.objects).keys() >= {1, 2, 3}
    again = 0
    for clip in clips:
        places = Counter((shot.scene, shot.texture) for shot in clip.shots)
        assert len(places) == len({scene for scene, _ in places}), "a scene that comes back is the same place"
        again += len(places) < len(clip.shots)
    assert 0 < again < len(clips) / 2


def test_camera_stands_still_or_pans(clips):
    pans = []
    for shot in (shot for clip in clips for shot in clip.shots):
        assert len(shot.corner) == shot.last - shot.first + 1
        assert shot.corner.min() >= 0
        assert shot.corner.max() <= MARGIN
        x, y = np.ptp(shot.corner, axis=0)
        assert min(x, y) == 0
        pans.append(max(x, y))
        if pans[-1]:
            assert pans[-1] >= 7
            steps = np.diff(shot.corner, axis=0)
            assert np.ptp(steps, axis=0).max() <= 1, "constant speed, up to rounding to pixels"
    assert 0.25 < np.mean(np.array(pans) > 0) < 0.75


def test_background_moves_with_the_camera(clips):
    differences = []
    for clip in clips:
        ground = np.where(clip.labels[..., None] == 0, clip.frames.astype(float), np.nan)
        for shot in clip.shots:
            x, y = shot.corner[-1] - shot.corner[0]
            early = ground[shot.first, max(y, 0) : SIZE + min(y, 0), max(x, 0) : SIZE + min(x, 0)]
            late = ground[shot.last, max(-y, 0) : SIZE + min(-y, 0), max(-x, 0) : SIZE + min(-x, 0)]
            differences.append(np.nanmean(abs(early - late)))
    assert max(differences) < 7, "only noise differs between frames"


def test_still_objects_move_with_the_background():
    standing = moving = 0
    for clip in (clip for case in CASES for clip in some(*case)):
        for thing in things(clip):
            for appearance in thing.appearances:
                shot = next(shot for shot in clip.shots if appearance.first <= shot.last)
                corner = shot.corner[appearance.first - shot.first : appearance.last - shot.first + 1]
                own = appearance.track + corner
                still = np.ptp(own, axis=0).max() <= 1
                assert still or thing.shape != "dot"
                standing += still
                moving += not still
                assert np.ptp(own, axis=0).min() <= 1, "straight"
    assert standing > 0
    assert moving > 0


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("frames", [2, 3, 5])
def test_very_short_clips(world, frames):
    for seed in seeds("search", 20, world=world):
        clip = render(seed, frames)
        (shot,) = clip.shots
        assert (shot.first, shot.last) == (0, frames - 1)
        assert len(clip.frames) == frames
        assert len(clip.objects) >= 2


@pytest.mark.parametrize("world", WORLDS)
def test_clips_of_one_frame(world):
    for seed in seeds("search", 20, world=world):
        clip = render(seed, 1)
        assert clip.frames.shape == (1, SIZE, SIZE, 3)
        assert len(clip.objects) >= 2
        assert all(thing.first == 0 for thing in things(clip))


def test_worlds_look_different():
    first, second = (LOOKS[world] for world in WORLDS)
    assert np.abs(first.palette - second.palette).sum(1).min() > 30
    for shape in (*SHAPES, "dot"):
        one, other = first.silhouette(shape, 17), second.silhouette(shape, 17)
        assert (one != other).mean() > 0.05, shape
    for scene in SCENES:
        means = [np.mean([texture.mean((0, 1)) for texture in bank(world, 0).textures[scene]], 0) for world in WORLDS]
        assert np.abs(means[0] - means[1]).sum() > 15, scene


def test_shapes_differ_within_a_world():
    for look in LOOKS.values():
        for one, other in combinations(SHAPES, 2):
            for size in range(*look.big):
                assert (look.silhouette(one, size) != look.silhouette(other, size)).mean() > 0.1


@pytest.mark.parametrize("world", WORLDS)
def test_objects_contrast_with_the_background(world):
    for clip in some(world, 16):
        for label, thing in enumerate(clip.objects, start=1):
            shown = clip.labels[thing.first] == label
            ground = clip.frames[thing.first][clip.labels[thing.first] == 0].astype(float).mean(0)
            assert np.abs(ground - clip.frames[thing.first][shown]).max() > 20, "by its colour or its rim"


@pytest.mark.parametrize("world", WORLDS)
def test_scenes_differ_in_mean_colour(world):
    """The mean colour of the background predicts the scene for more than 90 % of shots."""
    means = {scene: [] for scene in SCENES}
    for clip in some(world, 16):
        for shot in clip.shots:
            means[shot.scene].append(clip.frames[shot.first][clip.labels[shot.first] == 0].mean(0))
    centres = {scene: np.mean(values, 0) for scene, values in means.items()}
    right = [
        min(centres, key=lambda scene: np.square(centres[scene] - value).sum()) == scene
        for scene, values in means.items()
        for value in values
    ]
    assert np.mean(right) > 0.9


def test_splits_and_worlds_are_disjoint():
    for one, other in combinations(RANGES.values(), 2):
        assert one.stop <= other.start or other.stop <= one.start
    assert max(members.stop for members in RANGES.values()) <= SECOND_WORLD
    for world in WORLDS:
        for split in RANGES:
            (seed,) = seeds(split, 1, start=7, world=world)
            assert (split_of(seed), world_of(seed)) == (split, world)


def test_splits_share_no_textures():
    banks = [bank(world, number) for world in WORLDS for number in range(len(RANGES))]
    for one, other in combinations(banks, 2):
        assert not np.array_equal(one.noise, other.noise)
        for scene in SCENES:
            assert len(one.textures[scene]) == TEXTURES
            assert not any(np.array_equal(a, b) for a in one.textures[scene] for b in other.textures[scene])


def test_clips_show_the_textures_of_their_split():
    """The background of a clip matches the texture of its shot in the bank of its split best."""
    for world in WORLDS:
        for number, split in enumerate(RANGES):
            (shot, *_), frame, labels = (
                (clip := render(*seeds(split, 1, world=world))).shots,
                clip.frames[0],
                clip.labels,
            )
            x, y = shot.corner[0]
            ground = labels[0] == 0

            def likeness(texture, x=x, y=y, ground=ground, frame=frame):
                return np.corrcoef(texture[y : y + SIZE, x : x + SIZE][ground].ravel(), frame[ground].ravel())[0, 1]

            alike = {
                (other, place): likeness(texture)
                for other in range(len(RANGES))
                for place, texture in enumerate(bank(world, other).textures[shot.scene])
            }
            assert max(alike, key=alike.get) == (number, shot.texture)


def test_seeds_stay_in_their_split():
    assert seeds("confirm", 3, start=2) == range(2_000_000_002, 2_000_000_005)
    assert seeds("final", 1, world="second") == range(13_000_000_000, 13_000_000_001)
    with pytest.raises(ValueError, match="one of train, search, confirm, final; got 'test'"):
        seeds("test", 1)
    with pytest.raises(ValueError, match="one of first, second; got 'third'"):
        seeds("search", 1, world="third")
    with pytest.raises(ValueError, match="which goes beyond them"):
        seeds("search", 1, start=len(RANGES["search"]))
    with pytest.raises(ValueError, match="which goes beyond them"):
        seeds("train", 1, start=-1)


def test_render_rejects_bad_arguments():
    for seed in (1_500_000_000, -1, SECOND_WORLD + 1_500_000_000, 2 * SECOND_WORLD):
        with pytest.raises(ValueError, match=f"seed {seed} belongs to no split"):
            render(seed)
    with pytest.raises(ValueError, match="frames must be at least 1; got 0"):
        render(0, 0)
