import pytest
import torch

from tests.models import internvl_model as tiny
from vidfold.models.prompts.tiles import visuals

WORD, DASH, LINE = 40, 48, tiny.LINE


def read(*rows, frames=None):
    ids = tiny.builders.batch([list(row) for row in rows])["input_ids"]
    found = visuals(ids, tiny.IMAGE, tiny.CELLS, frames)
    assert torch.equal(found.video_places | found.image_places, ids == tiny.IMAGE)
    assert not (found.video_places & found.image_places).any()
    assert int(found.video_places.sum()) == tiny.CELLS * int(found.tiles[found.video].sum())
    return list(zip(found.tiles.tolist(), found.video.tolist(), strict=True))


def test_frames_in_a_row_are_a_video():
    assert read([1, WORD, *tiny.video(3), LINE, WORD]) == [(3, True)]
    assert read([1, *tiny.video(2)], [1, WORD, *tiny.video(4)], [1, WORD]) == [(2, True), (4, True)]


def test_videos_of_many_frames_one_after_the_other():
    assert read([1, LINE, *tiny.video(12), LINE, *tiny.video(33), LINE, *tiny.video(2)]) == [
        (12, True),
        (33, True),
        (2, True),
    ]


def test_pictures_with_several_tiles_and_separate_pictures_are_images():
    assert read([*tiny.image(4), LINE, *tiny.image(1), LINE, *tiny.image(1), WORD]) == [
        (4, False),
        (1, False),
        (1, False),
    ]
    assert read([*tiny.image(1), *[WORD] * 20, *tiny.image(1)]) == [(1, False), (1, False)]
    assert read([*tiny.video(2), LINE, *tiny.image(1), LINE, *tiny.video(2)]) == [(2, True), (1, False), (2, True)]


def labelled(*labels, line=LINE):
    """``label: <img>...</img>``, a new line, and so on, as tokens."""
    pictures = [[*label, tiny.COLON, tiny.SPACE, *tiny.image(1)] for label in labels]
    return [1, WORD, *[token for picture in pictures for token in (line, *picture)], line, WORD]


ONE, TWO, THREE, TEN = (tiny.DIGITS + 1,), (tiny.DIGITS + 2,), (tiny.DIGITS + 3,), (tiny.DIGITS + 1, tiny.DIGITS)


@pytest.mark.parametrize(
    "labels",
    [
        [[WORD, DASH, *ONE], [WORD, DASH, *TWO]],  # Image-1, Image-2: documented for separate images
        [[WORD, tiny.SPACE, *ONE], [WORD, tiny.SPACE, *TWO]],  # Image 1, Image 2
        [[WORD], [WORD + 1]],  # Before, After
        [[WORD], [WORD]],
        [[WORD, 50], [WORD, 55]],  # Image A, Image B
        [[WORD, *ONE], [WORD + 1, *TWO]],
        [[WORD, *ONE], [WORD, *ONE]],
        [[WORD, *ONE], [WORD, *THREE]],
        [[WORD, *TWO], [WORD, *ONE]],
        [[WORD, *ONE], [WORD, *TEN]],
        [ONE, TWO],
    ],
)
def test_pictures_whose_labels_do_not_count_are_images(labels):
    assert read(labelled(*labels)) == [(1, False)] * 2


def test_pictures_separated_by_a_question_are_images():
    label = [WORD, tiny.COLON, tiny.SPACE]
    asked = [*label, *tiny.image(1), LINE, WORD + 1, tiny.COLON, 50, LINE, *label, *tiny.image(1)]
    assert read([1, *asked]) == [(1, False), (1, False)]


def test_numbers_of_two_and_three_digits_are_read():
    frames = [[WORD, *(tiny.DIGITS + int(digit) for digit in str(number))] for number in range(1, 121)]
    assert read(labelled(*frames)) == [(120, True)]
    assert read(labelled(*frames[:50], *frames[60:70])) == [(50, True)] + [(1, False)] * 10


def test_large_number_as_one_token():
    frames = [[WORD, tiny.DIGITS + number] for number in range(1, 10)] + [[WORD, 30 + number] for number in range(9)]
    assert read(labelled(*frames)) == [(18, True)]


def test_labelled_images_beside_a_video_are_images():
    image = [LINE, WORD, *ONE, tiny.COLON, tiny.SPACE, *tiny.image(1)]
    assert read([1, *tiny.video(3), *image, LINE, *tiny.video(2), *image]) == [
        (3, True),
        (1, False),
        (2, True),
        (1, False),
    ]


def test_video_frames_argument_overrides_the_text():
    assert read(tiny.video(1)) == [(1, False)]
    assert read(tiny.video(1), frames=(1,)) == [(1, True)]
    numbered = labelled([WORD, *ONE], [WORD, *TWO])
    assert read(numbered) == [(2, True)]
    assert read(numbered, frames=(0, 0)) == [(1, False), (1, False)]
    far = [WORD, *tiny.image(1), *[WORD] * 20, *tiny.image(1), *tiny.image(3)]
    assert read(far, frames=(2, 0)) == [(2, True), (3, False)]


def test_rows_are_read_independently():
    assert read(tiny.video(2), tiny.video(2)) == [(2, True), (2, True)]
    assert read([1, *tiny.image(1)], [*[LINE] * 3, *tiny.image(1)]) == [(1, False), (1, False)]


def test_prompt_without_placeholders():
    assert read([1, WORD]) == []


@pytest.mark.parametrize(
    ("rows", "frames"),
    [
        ([tiny.video(3)], (2,)),
        ([tiny.video(3)], (2, 2)),
        ([tiny.video(3)], ()),
        ([tiny.image(3)], (1,)),
        ([tiny.video(2), tiny.video(2)], (4,)),
        ([tiny.video(2), tiny.video(2)], (3, 1)),
    ],
)
def test_error_quotes_wrong_frames(rows, frames):
    with pytest.raises(ValueError, match=r"frames=") as error:
        read(*rows, frames=frames)
    assert str(frames) in str(error.value)


def test_part_of_a_picture_raises():
    with pytest.raises(ValueError, match=r"\[9, 8\] placeholders.*has 9"):
        read(tiny.video(2)[:-2])
