"""All questions about a clip in one sequence: the same answers as one by one."""

import dataclasses

import pytest
import torch

from lab.asking import prompts
from tests.bench.conftest import SIZES
from vidfold import models
from vidfold.bench.clips import Scenes
from vidfold.bench.reading import counted, measure, scores
from vidfold.bench.settings import FULL, Fold, Setting
from vidfold.reducers import AOTPaper, Identity
from vidfold.tiny.questions import KINDS

SCENES = Scenes(3, split="search", frames=(4, 8))


def samples(small):
    return [SCENES.sample(place, small) for place in range(3)]


def test_packed_questions_equal_single_prompts(small):
    model = small.model
    for sample in samples(small):
        inputs, _ = prompts(small.processor, sample.clip)
        for method in (Identity(), AOTPaper(retention=0.2)):
            (tokens,) = models.encode(model, inputs, method.needs)
            reduction = method(tokens)
            spliced = models.splice(model, inputs, [reduction] * len(sample.questions))
            with torch.inference_mode():
                (packed,) = scores(model, reduction.tokens[None], sample.questions)
                alone = model(**spliced).logits[:, -1]
            torch.testing.assert_close(packed, alone, rtol=1e-3, atol=1e-4)
            told = model.generate(**spliced, max_new_tokens=1, do_sample=False)[:, -1]
            assert packed.argmax(-1).tolist() == told.tolist()


def test_rows_of_a_batch_are_independent(small):
    (sample, *_) = samples(small)
    visual = torch.randn(3, 17, SIZES.width, generator=torch.Generator().manual_seed(0))
    alone = [scores(small.model, row[None], sample.questions) for row in visual]
    torch.testing.assert_close(scores(small.model, visual, sample.questions), torch.cat(alone), rtol=1e-3, atol=1e-4)


def test_answers_of_all_folds_are_counted(small):
    """The truth here is the model's own answer from all tokens."""
    sample = samples(small)[0]
    tokens = sample.encode(frozenset({"shallow", "deep"}))
    folds = [Fold.of(each, tokens, 0) for each in (FULL, Setting("random", 0.2), Setting("average", 0.2))]
    told = [scores(small.model, fold.reduction.tokens[None], sample.questions)[0].argmax(-1) for fold in folds]
    words = small.processor.tokenizer.convert_ids_to_tokens(told[0].tolist())
    asked = tuple(dataclasses.replace(each, answer=word) for each, word in zip(sample.questions, words, strict=True))
    found = measure(dataclasses.replace(sample, questions=asked), tokens, folds)
    for values, answers in zip(found, told, strict=True):
        assert sum(values[f"right_{kind}"] for kind in KINDS) == (answers == told[0]).sum()
        assert sum(values[f"asked_{kind}"] for kind in KINDS) == len(asked)
    assert found[0] == counted(asked, torch.ones(len(asked), dtype=torch.bool))


def test_what_cannot_be_read_raises(small):
    sample = samples(small)[0]
    tokens = sample.encode(frozenset())
    with pytest.raises(ValueError, match="fastv works inside the language model"):
        measure(sample, tokens, [Fold.of(Setting("fastv", 0.2), tokens, 0)])
    with pytest.raises(ValueError, match="has no true answers"):
        measure(dataclasses.replace(sample, clip=None), tokens, [])
