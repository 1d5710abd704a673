import numpy as np
import pytest
from transformers import AutoProcessor, LlavaOnevisionForConditionalGeneration

from vidfold.tiny import path, questions, render, seeds
from vidfold.tiny.evaluate import FULL, Score, Setting, evaluate, main, table
from vidfold.tiny.export import ask
from vidfold.tiny.questions import KINDS

CLIPS = seeds("validation", 3)
SETTINGS = (FULL, Setting("aot", 0.25), Setting("aot-reference", 0.25), Setting("random", 0.1))


@pytest.fixture(scope="module")
def model():
    return LlavaOnevisionForConditionalGeneration.from_pretrained(path(), dtype="float32").eval()


@pytest.fixture(scope="module")
def processor():
    return AutoProcessor.from_pretrained(path())


@pytest.fixture(scope="module")
def scores(model, processor):
    return evaluate(model, processor, SETTINGS, CLIPS)


def random_score(seed, clips=200):
    rng = np.random.default_rng(seed)
    asked = np.ones((clips, len(KINDS)), int)
    return Score((rng.random(asked.shape) < 0.8).astype(int), asked, np.ones(clips))


def test_full_tokens_answer_as_generate_does(scores, model, processor):
    right = np.zeros(len(KINDS), int)
    for clip in map(render, CLIPS):
        asked = questions(clip)
        words = processor.batch_decode(ask(model, processor, clip.frames, [one.text for one in asked]), True)
        for question, word in zip(asked, words, strict=True):
            right[KINDS.index(question.kind)] += word == question.answer
    np.testing.assert_array_equal(scores[FULL].right.sum(0), right)


def test_every_question_is_counted_once(scores):
    for score in scores.values():
        assert score.asked.sum() == sum(len(questions(render(seed))) for seed in CLIPS)
        assert (score.right <= score.asked).all()


def test_settings_keep_what_they_promise(scores):
    kept = {setting: score.kept.mean() for setting, score in scores.items()}
    assert kept[FULL] == 1.0
    assert kept[Setting("aot", 0.25)] == 0.25
    assert kept[Setting("random", 0.1)] == pytest.approx(29 / 288)
    assert 0.1 < kept[Setting("aot-reference", 0.25)] < 0.6


def test_random_methods_draw_anew_for_each_clip(model, processor):
    setting = Setting("random", 0.1)
    assert setting.reducer(None, seed=1) != setting.reducer(None, seed=2)


def test_standard_errors_of_single_questions_are_binomial():
    score = random_score(0)
    share = score.accuracy
    np.testing.assert_allclose(score.standard_error(), np.sqrt(share * (1 - share) / 200))


def test_questions_of_one_clip_count_as_one_draw():
    score = random_score(0)
    tripled = Score(3 * score.right, 3 * score.asked, score.kept)
    np.testing.assert_allclose(tripled.standard_error(), score.standard_error())


def test_paired_difference_of_equal_answers_is_certain():
    score, other = random_score(0), random_score(1)
    assert score.gain(score) == (0, 0)
    gain, error = score.gain(other)
    assert gain == pytest.approx(score.mean()[0] - other.mean()[0])
    assert error == pytest.approx(np.hypot(score.mean()[1], other.mean()[1]), rel=0.2)


def test_the_table_has_a_row_for_each_setting(scores):
    lines = table(scores).splitlines()
    assert len(lines) == 2 + len(SETTINGS)
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2].startswith("| full | 100% | 100.0% |")


def test_bad_choices_are_refused(capsys):
    with pytest.raises(ValueError, match=r"unknown method 'aott'; there are: .*aot"):
        Setting("aott", 0.1)
    with pytest.raises(ValueError, match=r"retention must be in \(0, 1\]; got 2"):
        Setting("aot", 2)
    with pytest.raises(SystemExit):
        main(["--method", "none"])
    assert "unknown method 'none'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--split", "train"])
