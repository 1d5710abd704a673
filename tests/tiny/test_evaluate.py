from types import SimpleNamespace

import numpy as np
import pytest
from transformers import AutoProcessor, LlavaOnevisionForConditionalGeneration

from vidfold.tiny import path, questions, render, seeds
from vidfold.tiny.evaluate import FULL, Score, Setting, evaluate, main, table
from vidfold.tiny.export import ask
from vidfold.tiny.questions import KINDS

CLIPS = seeds("search", 3)
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


@pytest.fixture(scope="module")
def few(model, processor):
    """Scores on clips of the other world, so short that some kinds are never asked."""
    return evaluate(model, processor, SETTINGS, seeds("search", 2, world="second"), frames=3)


def random_score(seed, clips=200):
    rng = np.random.default_rng(seed)
    asked = np.ones((clips, len(KINDS)), int)
    return Score((rng.random(asked.shape) < 0.8).astype(int), asked, np.ones(clips))


def test_all_tokens_give_the_answers_of_generate(scores, model, processor):
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


def test_kept_share_equals_retention(scores):
    kept = {setting: score.kept.mean() for setting, score in scores.items()}
    assert kept[FULL] == 1.0
    assert kept[Setting("aot", 0.25)] == 0.25
    assert kept[Setting("random", 0.1)] == pytest.approx(29 / 288)
    assert 0.1 < kept[Setting("aot-reference", 0.25)] < 0.6


def test_other_lengths_and_worlds(few):
    clips = [render(seed, 3) for seed in seeds("search", 2, world="second")]
    for score in few.values():
        assert score.asked.sum(1).tolist() == [len(questions(clip)) for clip in clips]
    assert few[Setting("aot", 0.25)].kept.mean() == 27 / 108


def test_kinds_without_questions_are_nan_and_ignored(few):
    score = few[FULL]
    missing = score.asked.sum(0) == 0
    assert missing[KINDS.index("next")]
    assert not missing[KINDS.index("scene")]
    for numbers in (score.accuracy, score.standard_error()):
        np.testing.assert_array_equal(np.isnan(numbers), missing)
    assert score.mean()[0] == pytest.approx(score.accuracy[~missing].mean())
    assert score.gain(score) == (0, 0)
    cells = table(few).splitlines()[2].split(" | ")[3:-2]
    assert [cell == "-" for cell in cells] == missing.tolist()


def test_kinds_of_some_clips_are_scored_on_those_clips():
    whole = random_score(0)
    here = np.arange(200) % 2 == 0
    asked = whole.asked.copy()
    asked[~here, 1] = 0
    half = Score(whole.right * asked, asked, whole.kept)
    only = Score(whole.right[here], whole.asked[here], whole.kept[here])
    assert half.accuracy[1] == only.accuracy[1]
    assert half.standard_error()[1] == pytest.approx(only.standard_error()[1])
    np.testing.assert_array_equal(half.accuracy[2:], whole.accuracy[2:])


def test_random_methods_use_the_seed_of_each_clip(model, processor):
    setting = Setting("random", 0.1)
    assert setting.reducer(None, seed=1) != setting.reducer(None, seed=2)


def test_standard_errors_of_single_questions_are_binomial():
    score = random_score(0)
    share = score.accuracy
    np.testing.assert_allclose(score.standard_error(), np.sqrt(share * (1 - share) / 200))


def test_standard_errors_are_over_clips():
    score = random_score(0)
    tripled = Score(3 * score.right, 3 * score.asked, score.kept)
    np.testing.assert_allclose(tripled.standard_error(), score.standard_error())


def test_paired_difference_and_its_error():
    score, other = random_score(0), random_score(1)
    assert score.gain(score) == (0, 0)
    gain, error = score.gain(other)
    assert gain == pytest.approx(score.mean()[0] - other.mean()[0])
    assert error == pytest.approx(np.hypot(score.mean()[1], other.mean()[1]), rel=0.2)


def test_table_has_a_row_per_setting(scores):
    lines = table(scores).splitlines()
    assert len(lines) == 2 + len(SETTINGS)
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2].startswith("| full | 100% | 100.0% |")


def test_command_line(capsys):
    arguments = ["--clips", "1", "--retention", "0.5", "--method", "random"]
    main([*arguments, "--world", "second", "--frames", "4", "--split", "confirm"])
    head, _, row = capsys.readouterr().out.strip().splitlines()
    assert head.startswith("| method | retention | kept | scene |")
    assert row.startswith("| random | 50% | 50.0% | ")


def test_reference_anchors_scale_with_retention():
    tokens = SimpleNamespace(features=np.empty((8, 144, 1)))
    anchors = [Setting("aot-reference", share).reducer(tokens, seed=0).anchors for share in (0.1, 0.25, 1.0)]
    assert anchors == [25, 62, 144]


def test_bad_arguments_raise(capsys):
    with pytest.raises(ValueError, match=r"unknown method 'aott'; there are: .*aot"):
        Setting("aott", 0.1)
    with pytest.raises(ValueError, match=r"retention must be in \(0, 1\]; got 2"):
        Setting("aot", 2)
    with pytest.raises(SystemExit):
        main(["--method", "none"])
    assert "unknown method 'none'" in capsys.readouterr().err
    for choice, message in (
        (["--split", "train"], "invalid choice: 'train'"),
        (["--world", "third"], "invalid choice: 'third'"),
        (["--frames", "0"], "frames must be a whole number of at least 1, got 0"),
        (["--clips", "2000000"], "which goes beyond them"),
    ):
        with pytest.raises(SystemExit):
            main(choice)
        assert message in capsys.readouterr().err
