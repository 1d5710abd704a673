"""Where clips and their questions come from."""

import pytest

from vidfold.bench.clips import EVERYDAY, Scenes, Videos
from vidfold.tiny import questions, render, seeds
from vidfold.tiny.scenes import RANGES, split_of
from vidfold.video import write


def test_names_tell_split_world_and_lengths():
    assert Scenes(64, split="search").name == "scenes 0-63 (search)"
    scenes = Scenes(2, split="confirm", world="second", frames=(16,))
    assert scenes.name == "scenes 0-1 (confirm, second world, 16 frames)"
    assert Scenes(3, split="search", frames=(4, 8)).name == "scenes 0-2 (search, 4 and 8 frames)"


def test_everyday_clips_are_those_on_which_nothing_was_tuned():
    assert EVERYDAY == "final"
    assert Scenes(2).clips == (str(RANGES["final"].start + 700_000), str(RANGES["final"].start + 700_001))
    assert {split_of(int(clip)) for clip in Scenes(3, world="second").clips} == {"final"}


def test_clips_have_the_lengths_in_turn(small):
    scenes = Scenes(3, split="search", frames=(4, 8))
    assert [len(scenes.sample(place, small).frames) for place in range(3)] == [4, 8, 4]


def test_scenes_have_all_questions_with_true_answers(small):
    scenes = Scenes(1, split="search", world="second", frames=(3,))
    sample = scenes.sample(0, small)
    (seed,) = seeds("search", 1, world="second")
    assert (sample.name, sample.draw) == (str(seed), seed)
    assert sample.questions == tuple(questions(render(seed, 3)))
    assert sample.video["pixel_values_videos"].shape[:2] == (1, 3)
    assert len(sample.prompts["input_ids"]) == len(sample.questions)
    assert "pixel_values_videos" not in sample.prompts
    words = small.processor.tokenizer.convert_ids_to_tokens(sample.truth.tolist())
    assert words == [question.answer for question in sample.questions]


def test_answers_outside_the_vocabulary_are_not_known(small):
    import dataclasses

    sample = Scenes(1, split="search").sample(0, small)
    other = (dataclasses.replace(sample.questions[0], answer="harbour"), *sample.questions[1:])
    assert dataclasses.replace(sample, questions=other).truth is None


def test_videos_have_one_question_without_an_answer(small, tmp_path):
    path = str(tmp_path / "clip.mp4")
    write(path, render(seeds("search", 1)[0]).frames, fps=2, scale=2, hold=2)
    videos = Videos((path,), "what is the first scene?", frames=4)
    assert videos.name.startswith("videos (1 of 4 frames, ")
    assert videos.name != Videos((path,), "what is the last scene?", frames=4).name
    sample = videos.sample(0, small)
    assert (sample.name, sample.truth, sample.clip) == (path, None, None)
    assert len(sample.prompts["input_ids"]) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Scenes(0), "clips must be a whole number of at least 1, got 0"),
        (lambda: Scenes(1, frames=(0,)), "frames must be a whole number of at least 1, got 0"),
        (lambda: Scenes(1, frames=()), r"frames must be at least one length, got \(\)"),
        (lambda: Scenes(1, split="train"), "split 'train': use clips that the model was not trained on"),
        (lambda: Scenes(1, split="test"), "split must be one of .*; got 'test'"),
        (lambda: Scenes(1, world="third"), "world must be one of first, second; got 'third'"),
        (lambda: Scenes(10_000_000), "split 'final' has 1000000 seeds"),
        (lambda: Videos(()), "paths must name at least one video file, got none"),
        (lambda: Videos(("nowhere.mp4",)), "'nowhere.mp4' is not a file"),
        (lambda: Videos((__file__,), " "), "question must not be empty"),
    ],
)
def test_bad_input_raises(make, message):
    with pytest.raises(ValueError, match=message):
        make()
