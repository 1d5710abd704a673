from collections import Counter
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from lab.questions import ANSWERS, every_question
from tests.tiny.clips import some
from vidfold.tiny.casting import cast
from vidfold.tiny.questions import GROUPS, KINDS, NUMBERS, PLACES, TEMPLATES, WAYS, learnt, questions
from vidfold.tiny.scenes import Clip, seeds
from vidfold.tiny.textures import SIZE, TEXTURES
from vidfold.tiny.worlds import COLORS, LOOKS, SCENES, SHAPES, WORLDS

CASES = [(world, frames) for world in WORLDS for frames in (2, 8, 16, 32)]


@pytest.fixture(scope="module", params=CASES, ids="{0[0]}-{0[1]}".format)
def clips(request):
    """Clips of one world and one length."""
    return some(*request.param)


@cache
def answers(world, frames):
    """Questions and answers of many clips, by kind; no pixels are drawn for it."""
    found = {kind: [] for kind in TEMPLATES}
    for seed in seeds("search", 300, world=world):
        content = cast(np.random.default_rng(seed), LOOKS[world], frames, TEXTURES)
        clip = Clip(seed, content.shots, content.objects, content.dots, frames=None, labels=None)
        for question in every_question(clip):
            found[question.kind].append((question.text, question.answer))
    return found


def of_kind(clip, kind):
    asked = every_question(clip)
    return {question.text: question.answer for question in asked if question.kind == kind}


def shown(clip):
    """Colour of every object and dot, and the frames that show it, from the label map."""
    things = (*clip.objects, *clip.dots)
    return [
        (thing.color, np.flatnonzero((clip.labels == label).any((1, 2)))) for label, thing in enumerate(things, start=1)
    ]


def scenes(clip):
    """The scene of every frame."""
    return [shot.scene for shot in clip.shots for _ in range(shot.first, shot.last + 1)]


def box(clip, label, frame):
    """Top, left, bottom and right of an object in a frame, from the label map."""
    rows, columns = np.nonzero(clip.labels[frame] == label)
    return np.array([rows.min(), columns.min(), rows.max(), columns.max()])


def test_first_and_last_scene(clips):
    for clip in clips:
        assert of_kind(clip, "scene") == {
            "what is the first scene?": scenes(clip)[0],
            "what is the last scene?": scenes(clip)[-1],
        }


def test_next_is_asked_about_scenes_shown_once(clips):
    for clip in clips:
        changes = [(one, other) for one, other in pairwise(scenes(clip)) if one != other]
        once = [pair for pair in changes if sum(shot.scene == pair[0] for shot in clip.shots) == 1]
        assert of_kind(clip, "next") == {f"what scene follows the {one}?": other for one, other in once}


def test_tiny_is_asked_about_scenes_with_one_dot(clips):
    for clip in clips:
        dots = {}
        for color, frames in shown(clip)[len(clip.objects) :]:
            (scene,) = {scenes(clip)[frame] for frame in frames}
            dots.setdefault(scene, []).append(color)
        single = {scene: colors[0] for scene, colors in dots.items() if len(colors) == 1}
        assert of_kind(clip, "tiny") == {
            f"what color is the tiny dot on the {scene}?": color for scene, color in single.items()
        }


def test_shape_is_asked_about_every_object(clips):
    for clip in clips:
        assert of_kind(clip, "shape") == {
            f"what shape is the {thing.color} object?": thing.shape for thing in clip.objects
        }


def test_behind_is_asked_about_objects_with_one_scene(clips):
    for clip in clips:
        behind = {
            color: {scenes(clip)[frame] for frame in frames} for color, frames in shown(clip)[: len(clip.objects)]
        }
        assert of_kind(clip, "behind") == {
            f"what scene is behind the {color} object?": next(iter(found))
            for color, found in behind.items()
            if len(found) == 1
        }


def test_where_is_asked_about_objects_that_stay_in_a_quarter(clips):
    for clip in clips:
        told = of_kind(clip, "where")
        expected = {}
        for label, (color, frames) in enumerate(shown(clip)[: len(clip.objects)], start=1):
            thing = clip.objects[label - 1]
            middles = [
                (x + thing.size / 2, y + thing.size / 2) for each in thing.appearances for x, y in each.track.tolist()
            ]
            west = {x < SIZE / 2 for x, _ in middles}
            north = {y < SIZE / 2 for _, y in middles}
            clear = all(abs(place - SIZE / 2) >= 4 for middle in middles for place in middle)
            if clear and len(west) == len(north) == 1:
                answer = f"{'north' if north == {True} else 'south'}{'west' if west == {True} else 'east'}"
                expected[f"where is the {color} object?"] = answer
                for frame in frames:  # pixels agree
                    top, left, bottom, right = box(clip, label, frame)
                    assert answer.startswith("north") == (top + bottom + 1 < SIZE)
                    assert answer.endswith("west") == (left + right + 1 < SIZE)
        assert told == expected


def test_moves_is_asked_about_clear_motion_or_none(clips):
    for clip in clips:
        expected = {}
        for label, (color, frames) in enumerate(shown(clip)[: len(clip.objects)], start=1):
            if len(clip.objects[label - 1].appearances) > 1 or len(frames) < 3:
                continue
            down, right = (box(clip, label, frames[-1]) - box(clip, label, frames[0]))[:2].tolist()
            far, aside = max(abs(down), abs(right)), min(abs(down), abs(right))
            if far <= 3:
                expected[color] = "nowhere"
            elif far >= 16 and far >= 2.5 * aside:
                ways = {down: "down", -down: "up", right: "right", -right: "left"}
                expected[color] = ways[far]
        assert of_kind(clip, "moves") == {
            f"where does the {color} object move?": way for color, way in expected.items()
        }


def test_order_is_asked_about_consecutive_appearances(clips):
    for clip in clips:
        entries = sorted(
            (frames[0], place, color) for place, (color, frames) in enumerate(shown(clip)[: len(clip.objects)])
        )
        expected = {
            frozenset((one, other)): one for (early, _, one), (late, _, other) in pairwise(entries) if late - early >= 2
        }
        told = {frozenset(text[:-1].split()[3::2]): answer for text, answer in of_kind(clip, "order").items()}
        assert told == expected


def test_last_is_the_object_that_first_appears_last(clips):
    for clip in clips:
        firsts = {color: frames[0] for color, frames in shown(clip)[: len(clip.objects)]}
        *_, before, latest = sorted(firsts.values())
        expected = {color for color, first in firsts.items() if first == latest} if latest - before >= 2 else set()
        assert set(of_kind(clip, "last").values()) == expected


def test_count_is_the_number_of_big_objects(clips):
    for clip in clips:
        labels = set(np.unique(clip.labels).tolist()) - {0}
        assert of_kind(clip, "count") == {"how many big objects are there?": NUMBERS[len(labels) - len(clip.dots)]}


def test_questions_are_unique_and_in_the_order_of_kinds(clips):
    for clip in clips:
        asked = questions(clip)
        places = [KINDS.index(question.kind) for question in asked]
        assert places == sorted(places)
        assert len({question.text for question in asked}) == len(asked)
        assert asked == questions(clip)


def test_answers_are_possible_answers_of_their_kind(clips):
    for clip in clips:
        for question in questions(clip):
            assert question.answer in ANSWERS[question.kind]


@pytest.mark.parametrize("frames", [8, 16, 32])
@pytest.mark.parametrize("world", WORLDS)
def test_answers_are_balanced(world, frames):
    for kind, asked in answers(world, frames).items():
        found = Counter(answer for _, answer in asked)
        assert len(found) == len(ANSWERS[kind])
        if kind == "moves":  # about half of the objects stand still
            assert found.pop("nowhere") < 0.5 * len(asked)
        assert max(found.values()) < 1.8 * found.total() / len(found), kind


@pytest.mark.parametrize("world", WORLDS)
def test_wording_does_not_reveal_the_answer(world):
    order = answers(world, 16)["order"]
    assert 0.4 < np.mean([text.split()[3] == answer for text, answer in order]) < 0.6
    for scene in SCENES:
        following = Counter(answer for text, answer in answers(world, 16)["next"] if text[:-1].endswith(scene))
        assert scene not in following
        assert max(following.values()) < 0.4 * following.total()


def test_motion_is_asked_only_in_training(clips):
    for clip in clips:
        everything = every_question(clip)
        assert questions(clip) == tuple(question for question in everything if question.kind != "moves")
        places = [list(TEMPLATES).index(question.kind) for question in everything]
        assert places == sorted(places)


def test_every_kind_has_a_group_and_its_answers():
    assert set(GROUPS) == set(KINDS) == set(TEMPLATES) - {"moves"}
    assert set(ANSWERS) == set(TEMPLATES)
    assert set(GROUPS.values()) == {"gist", "detail", "place", "time", "counting"}
    assert ANSWERS["shape"] == SHAPES
    assert ANSWERS["tiny"] == COLORS
    assert (ANSWERS["where"], ANSWERS["moves"]) == (PLACES, WAYS)


def test_questions_of_clips_were_learnt():
    assert all(learnt(each.text) for clip in some("first", 8)[:3] for each in questions(clip))


@pytest.mark.parametrize("text", ["", "what?", "what is the third scene?", "where does the red object move?"])
def test_others_were_not(text):
    assert not learnt(text)
