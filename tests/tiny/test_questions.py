import numpy as np
import pytest

from vidfold.tiny.questions import ANSWERS, GROUPS, KINDS, questions
from vidfold.tiny.scenes import COLORS, RGB, SHAPES, render, seeds


def color_of(clip, label):
    paint = clip.frames[clip.labels == label].astype(float).mean(0)
    return COLORS[np.square(RGB - paint).sum(1).argmin()]


def shape_of(mask):
    """By how the silhouette fills its bounding box."""
    rows, columns = np.nonzero(mask)
    box = mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    height, width = box.shape
    if not box[height // 2, width // 2]:
        return "ring"
    if box.all():
        return "square"
    if box[0].sum() < 0.3 * width and box[-1].sum() > 0.8 * width:
        return "triangle"
    return "circle" if box.mean() > 0.7 else "cross"


def truth_by_pixels(clip):
    """All answers but the scene's, from frames and label map only."""
    dot = int(clip.labels.max())
    spans = {label: np.flatnonzero((clip.labels == label).any((1, 2))) for label in range(1, dot)}
    latest = max(span[0] for span in spans.values())
    earliest = min(span[-1] for span in spans.values())
    (latecomer,) = (label for label, span in spans.items() if span[0] == latest)
    (leaver,) = (label for label, span in spans.items() if span[-1] == earliest)
    shapes = {
        f"what shape is the {color_of(clip, label)} object?": shape_of(clip.labels[span[0]] == label)
        for label, span in spans.items()
    }
    return shapes | {
        "what color is the tiny dot?": color_of(clip, dot),
        "which big color appears last?": color_of(clip, latecomer),
        "which big color leaves first?": color_of(clip, leaver),
        "how many big objects are there?": ("two", "three", "four", "five")[len(spans) - 2],
    }


def test_answers_agree_with_the_pixels():
    for seed in seeds("validation", 80):
        clip = render(seed)
        told = {question.text: question.answer for question in questions(clip)}
        assert told.pop("what is the scene?") == clip.scene
        assert told == truth_by_pixels(clip)


def test_scenes_differ_by_brightness_and_hue():
    """The scene's name follows from the mean colour of the pixels that show it."""
    means = {}
    for seed in seeds("train", 120):
        clip = render(seed)
        means.setdefault(clip.scene, []).append(clip.frames[clip.labels == 0].astype(float).mean(0))
    centres = {scene: np.mean(values, 0) for scene, values in means.items()}
    right = [
        min(centres, key=lambda scene: np.square(centres[scene] - value).sum()) == scene
        for scene, values in means.items()
        for value in values
    ]
    assert np.mean(right) > 0.95


def test_every_kind_is_asked_once_and_shapes_for_every_object():
    for seed in seeds("train", 20):
        clip = render(seed)
        asked = [question.kind for question in questions(clip)]
        assert sorted(asked) == sorted([*KINDS, *["shape"] * (len(clip.objects) - 1)])


def test_answers_stay_in_their_kinds_vocabulary():
    for seed in seeds("train", 60):
        for question in questions(render(seed)):
            assert question.answer in ANSWERS[question.kind]


@pytest.mark.parametrize("kind", KINDS)
def test_no_answer_is_common_enough_to_be_guessed(kind):
    answers = [q.answer for seed in seeds("train", 300) for q in questions(render(seed)) if q.kind == kind]
    most = max(answers.count(answer) for answer in ANSWERS[kind]) / len(answers)
    assert most < 1.6 / len(ANSWERS[kind])


def test_every_kind_has_a_group():
    assert set(GROUPS) == set(KINDS)
    assert set(GROUPS.values()) == {"gist", "detail", "time", "counting"}
    assert len(SHAPES) == len(ANSWERS["shape"])
