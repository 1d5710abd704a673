import dataclasses

import numpy as np
import pytest
import torch

from lab.asking import prompts
from vidfold import models
from vidfold.bench.suites import FULL, Case, Entry, prepare, score
from vidfold.bench.suites.cases import encoded
from vidfold.bench.suites.reading import Asked
from vidfold.reducers import FastV, Random, VisionZip
from vidfold.tiny.evaluate import Setting
from vidfold.tiny.language import processor
from vidfold.tiny.questions import KINDS, questions
from vidfold.tiny.scenes import render

CASE = Case(clips=5, frames=(4, 8))
ENTRIES = [Entry.named("aot-reference", 0.2), Entry.named("random", 0.2), Entry.of("zip", VisionZip(retention=0.1))]


@pytest.fixture(scope="module")
def scores(small):
    return score(small, CASE, ENTRIES)


def test_clips_have_the_lengths_in_turn():
    assert [frames for _, frames in CASE.members()] == [4, 8, 4, 8, 4]


def test_all_questions_are_asked(scores):
    assert list(scores) == [FULL, "aot-reference 0.2", "random 0.2", "zip"]
    for place, (seed, frames) in enumerate(CASE.members()):
        kinds = [KINDS.index(question.kind) for question in questions(render(seed, frames))]
        for each in scores.values():
            np.testing.assert_array_equal(each.asked[place], np.bincount(kinds, minlength=len(KINDS)))


def test_kept_shares_are_measured(scores):
    assert scores[FULL].kept.tolist() == [1.0] * 5
    np.testing.assert_allclose(scores["random 0.2"].kept, 0.2, atol=0.005)
    assert scores["aot-reference 0.2"].kept.std() > 0


def test_batching_does_not_change_answers(small, monkeypatch):
    """Batching of folds does not matter; the truth here is the model's answer from all tokens."""
    truth = {seed: _answers(small, render(seed, frames), Setting("identity", 1.0)) for seed, frames in CASE.members()}
    plain = Asked.of
    made = lambda clip: dataclasses.replace(plain(clip), truth=truth[clip.seed])  # noqa: E731
    monkeypatch.setattr(Asked, "of", made)
    found = score(small, CASE, ENTRIES)
    np.testing.assert_array_equal(found[FULL].right, found[FULL].asked)
    for place, (seed, frames) in enumerate(CASE.members()):
        clip = render(seed, frames)
        for label, setting in {entry.label: entry.label.rsplit(" ", 1) for entry in ENTRIES[:2]}.items():
            same = _answers(small, clip, Setting(setting[0], float(setting[1]))) == truth[seed]
            assert found[label].right[place].sum() == int(same.sum())


def test_prepared_clips_give_the_same_scores(small, scores):
    again = score(small, prepare(small, CASE, {"shallow", "deep", "keys"}), ENTRIES)
    for label, each in scores.items():
        np.testing.assert_array_equal(again[label].right, each.right)
        np.testing.assert_array_equal(again[label].kept, each.kept)


def test_no_entries_give_the_full_score(small):
    assert list(score(small, prepare(small, Case(clips=1, frames=(4,)), ()), [])) == [FULL]


def test_random_methods_use_the_seed_of_each_clip():
    entry = Entry.of("drawn", Random(retention=0.1, seed=7))
    assert [entry.make(None, seed).seed for seed in (1, 2)] == [1, 2]


def test_progress_callback(small):
    seen = []
    score(small, CASE, ENTRIES[:1], watch=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (5, 5)


def test_pixels_equal_the_processor(small, monkeypatch):
    ((seed, frames),) = Case(clips=1, frames=(4,)).members()
    inputs, _ = prompts(processor(8), render(seed, frames))
    (wanted,) = models.encode(small, inputs, frozenset({"deep"}))
    (found,) = encoded(small, Case(clips=1, frames=(4,)), frozenset({"deep"}))
    torch.testing.assert_close(found.tokens.features, wanted.features, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.tokens.deep, wanted.deep, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Entry.named("aotx", 0.1), "unknown method 'aotx'"),
        (lambda: Entry.named("aot", 0.0), "got 0"),
        (lambda: Entry.named("fastv", 0.5), "fastv works inside the language model"),
        (lambda: Entry.of("inner", FastV()), "fastv works inside the language model"),
        (lambda: Case(model="big"), "model must be 'varied' or 'whole', got 'big'"),
        (lambda: Case(clips=0), "at least 1, got 0"),
        (lambda: Case(split="test"), "got 'test'"),
        (lambda: Case(world="third"), "got 'third'"),
    ],
)
def test_bad_arguments_raise(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_labels_must_be_unique(small):
    with pytest.raises(ValueError, match="given twice: 'zip'"):
        score(small, CASE, [ENTRIES[2], ENTRIES[2]])
    with pytest.raises(ValueError, match="given twice: 'full'"):
        score(small, CASE, [Entry.of(FULL, Random())])


def _answers(model, clip, setting):
    """Answers of ``generate`` to all questions about a clip."""
    inputs, _ = prompts(processor(8), clip)
    needs = setting.reducer(models.encode(model, inputs)[0], clip.seed).needs
    (tokens,) = models.encode(model, inputs, needs)
    reduction = setting.reducer(tokens, clip.seed)(tokens)
    spliced = models.splice(model, inputs, [reduction] * len(questions(clip)))
    return model.generate(**spliced, max_new_tokens=1, do_sample=False)[:, -1]
