"""Caches that folded calls filled, in later calls."""

import copy
from contextlib import nullcontext

import pytest
import torch
from transformers import StaticCache

from tests.folding.calls import FULL, GREEDY, row
from tests.models import builders
from vidfold import Identity, Random
from vidfold.folding import fold
from vidfold.reducers import FastV


@pytest.mark.parametrize("copied", [lambda cache: cache, copy.deepcopy], ids=["cache", "copy"])
def test_a_folded_cache_is_not_continued_with_another_prompt(small, copied):
    """With the whole prompt, or with new tokens alone that `generate` would take for those in the cache."""
    inputs = row(small, 0)
    pixels = {"pixel_values_videos": inputs["pixel_values_videos"]}
    with fold(small, Random(retention=0.3)):
        output = small.generate(**inputs, **GREEDY, return_dict_in_generate=True)
        held = output.past_key_values.get_seq_length()
        longer = torch.cat([output.sequences, torch.tensor([[20, 21]])], 1)
        turn = torch.arange(20, 20 + held + 3)[None]
        for name in ("past_key_values", "cache"):
            for given in (
                {"input_ids": longer},
                {"input_ids": longer, "attention_mask": torch.ones_like(longer)},
                {"input_ids": longer} | pixels,
                {"input_ids": turn},
                {"input_ids": turn[:, :3]},
                {"input_ids": turn, "attention_mask": torch.ones(1, longer.shape[1], dtype=torch.int64)},
            ):
                with pytest.raises(ValueError, match=f"cache of the call holds {held} tokens"):
                    small.generate(**given, **{name: copied(output.past_key_values)}, **GREEDY)
            for video in ({}, pixels):
                with pytest.raises(ValueError, match=f"cache of the call holds {held} tokens"):
                    small(input_ids=longer, **{name: copied(output.past_key_values)}, **video)
        again = small.generate(input_ids=longer, **pixels, **GREEDY)
    assert again.shape[1] == longer.shape[1] + 5


def test_new_tokens_behind_a_folded_cache_are_all_read_where_the_mask_counts_the_cache(small):
    inputs, turn = row(small, 0), torch.arange(20, 27)[None]
    with fold(small, Random(retention=0.3)), torch.no_grad():
        output = small.generate(**inputs, **GREEDY, return_dict_in_generate=True)
        cache = output.past_key_values
        mask = torch.ones(1, cache.get_seq_length() + 7, dtype=torch.int64)
        expected = small(input_ids=turn, past_key_values=copy.deepcopy(cache)).logits[:, -1]
        for name in ("first turn", "second turn"):
            answer = small.generate(
                input_ids=turn, attention_mask=mask, past_key_values=copy.deepcopy(cache), **GREEDY, **FULL
            )
            torch.testing.assert_close(answer.logits[0], expected, rtol=0, atol=1e-4, msg=name)
        with pytest.raises(ValueError, match="cache of the call holds"):
            small.generate(input_ids=turn, past_key_values=answer.past_key_values, **GREEDY)


def test_caches_of_unfolded_calls_are_continued(small):
    text, turn = builders.batch([[1, 20, 21, 22]])["input_ids"], torch.tensor([[30, 31]])
    inputs = row(small, 0)
    settings = GREEDY | {"return_dict_in_generate": True}

    def conversation():
        first = small.generate(input_ids=text, **settings)
        ids = torch.cat([first.sequences, turn], 1)
        second = small.generate(input_ids=ids, past_key_values=first.past_key_values, **settings)
        return second.sequences

    def reused():
        """A cache of fixed length that held a video, emptied."""
        cache = StaticCache(small.config.get_text_config(), max_cache_len=64)
        small.generate(**inputs, past_key_values=cache, **GREEDY)
        cache.reset()
        first = small.generate(input_ids=text, past_key_values=cache, **settings)
        ids = torch.cat([first.sequences, turn], 1)
        return small.generate(input_ids=ids, past_key_values=cache, **settings).sequences

    stock = conversation(), reused()
    with fold(small, Random(retention=0.3)):
        folded = conversation(), reused()
    for ours, theirs in zip(folded, stock, strict=True):
        assert torch.equal(ours, theirs)


def test_keeping_everything_leaves_a_cache_that_is_continued(small):
    inputs = row(small, 0)
    settings = GREEDY | {"return_dict_in_generate": True}
    answers = []
    for method in (None, Identity(), FastV(retention=0.5, layer=1)):
        with nullcontext() if method is None else fold(small, method):
            first = small.generate(**inputs, **settings)
            ids = torch.cat([first.sequences, torch.tensor([[30, 31]])], 1)
            answers.append(small.generate(input_ids=ids, past_key_values=first.past_key_values, **settings))
    assert torch.equal(answers[1].sequences, answers[0].sequences)
    assert answers[2].past_key_values.get_seq_length() == answers[0].past_key_values.get_seq_length()
