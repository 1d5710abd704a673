import dataclasses

import pytest
import torch

from lab.asking import prompts
from vidfold import models
from vidfold.bench.suites.reading import Asked, right, scores
from vidfold.reducers import AOTPaper, Identity
from vidfold.tiny.language import processor
from vidfold.tiny.questions import KINDS
from vidfold.tiny.scenes import render, seeds

CLIPS = [(seed, frames) for seed, frames in zip(seeds("search", 3), (4, 8, 4), strict=True)]


@pytest.mark.parametrize("method", [Identity(), AOTPaper(retention=0.2)])
def test_packed_questions_equal_single_prompts(small, method):
    reader = processor(8)
    for seed, frames in CLIPS:
        clip = render(seed, frames)
        inputs, truth = prompts(reader, clip)
        (tokens,) = models.encode(small, inputs, method.needs)
        reduction = method(tokens)
        asked = Asked.of(clip)
        assert asked.truth.tolist() == truth.tolist()
        with torch.inference_mode():
            (packed,) = scores(small, reduction.tokens[None], [asked])
            alone = small(**models.splice(small, inputs, [reduction] * len(truth))).logits[:, -1]
        torch.testing.assert_close(packed, alone, rtol=1e-3, atol=1e-4)
        spliced = models.splice(small, inputs, [reduction] * len(truth))
        told = small.generate(**spliced, max_new_tokens=1, do_sample=False)[:, -1]
        assert packed.argmax(-1).tolist() == told.tolist()


def test_rows_of_a_batch_are_independent(small):
    asked = [Asked.of(render(seed, frames)) for seed, frames in CLIPS]
    assert len({len(each) for each in asked}) > 1, "some rows must be padded"
    visual = torch.randn(3, 17, 48, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        together = scores(small, visual, asked)
        for row, each, found in zip(visual, asked, together, strict=True):
            torch.testing.assert_close(found, scores(small, row[None], [each])[0], rtol=1e-3, atol=1e-4)


def test_right_answers_by_kind(small):
    asked = Asked.of(render(*CLIPS[0]))
    visual = torch.randn(1, 9, 48, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        told = scores(small, visual, [asked])[0].argmax(-1)
        (nothing,) = right(small, visual, [dataclasses.replace(asked, truth=told + 1)])
        (everything,) = right(small, visual, [dataclasses.replace(asked, truth=told)])
    assert nothing.tolist() == [0] * len(KINDS)
    assert everything.tolist() == asked.counts().tolist()
    assert everything.sum() == len(asked.ends)
