"""The cache of a call, under the name of older and of newer transformers."""

import pytest
from transformers import DynamicCache

from tests.models import builders
from vidfold.models.cache import NAMES, cache_argument, cache_of


@pytest.mark.parametrize("name", NAMES)
def test_a_cache_is_found_by_either_name(name):
    cache = DynamicCache()
    assert cache_of({"input_ids": None, name: cache}) is cache


@pytest.mark.parametrize("named", [{}, {"cache": None}, {"past_key_values": None}, dict.fromkeys(NAMES)], ids=str)
def test_no_cache(named):
    assert cache_of(named) is None


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_name_does_not_hide_the_other(name):
    cache = DynamicCache()
    assert cache_of(dict.fromkeys(NAMES) | {name: cache}) is cache


class _Older:
    def forward(self, input_ids, past_key_values=None): ...


class _Newer:
    def forward(self, input_ids, cache=None): ...


@pytest.mark.parametrize(("model", "name"), [(_Older(), "past_key_values"), (_Newer(), "cache")])
def test_a_cache_is_passed_by_the_name_that_the_model_takes(model, name):
    assert cache_argument(model, "kept") == {name: "kept"}


def test_a_real_model_reads_on_from_the_cache_it_returned():
    model = builders.llava_onevision(6, 8, layers=1)
    cache = cache_of(model(input_ids=model.dummy_inputs["input_ids"][:1, :3]))
    assert cache.get_seq_length() == 3
    following = model(input_ids=model.dummy_inputs["input_ids"][:1, :1], **cache_argument(model, cache))
    assert cache_of(following).get_seq_length() == 4
