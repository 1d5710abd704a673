"""The cache of a call, under the name of older and of newer transformers."""

import pytest
from transformers import DynamicCache

from tests.models import builders
from vidfold.models.cache import NAMES, cache_argument, cache_of


@pytest.mark.parametrize("name", NAMES)
def test_cache_of_either_name(name):
    cache = DynamicCache()
    assert cache_of({"input_ids": None, name: cache}) is cache


@pytest.mark.parametrize("named", [{}, {"cache": None}, {"past_key_values": None}, dict.fromkeys(NAMES)], ids=str)
def test_no_cache(named):
    assert cache_of(named) is None


@pytest.mark.parametrize("name", NAMES)
def test_empty_cache_argument_does_not_hide_the_other_name(name):
    cache = DynamicCache()
    assert cache_of(dict.fromkeys(NAMES) | {name: cache}) is cache


class _Older:
    def forward(self, input_ids, past_key_values=None): ...


class _Newer:
    def forward(self, input_ids, cache=None): ...


@pytest.mark.parametrize(("model", "name"), [(_Older(), "past_key_values"), (_Newer(), "cache")])
def test_cache_argument_has_the_name_of_the_model(model, name):
    assert cache_argument(model, "kept") == {name: "kept"}


def test_continue_from_a_returned_cache():
    model = builders.llava_onevision(6, 8, layers=1)
    cache = cache_of(model(input_ids=model.dummy_inputs["input_ids"][:1, :3]))
    assert cache.get_seq_length() == 3
    following = model(input_ids=model.dummy_inputs["input_ids"][:1, :1], **cache_argument(model, cache))
    assert cache_of(following).get_seq_length() == 4
