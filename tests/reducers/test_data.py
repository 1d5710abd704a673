"""Methods as data: dictionaries, JSON, YAML, and a repr that can be pasted."""

import json

import pytest
import yaml

from vidfold import reducers
from vidfold.reducers import METHODS, AOTPaper, PyramidDrop, get

METHODS_WITH_FIELDS = [
    *(method() for method in METHODS.values()),
    get("aot", tokens=64, segments=[[0, 4], [4, 4]]),
    AOTPaper(0.25, keep=0.3, segments="dynamic"),
    PyramidDrop(0.5, layers=(2, 4)),
]


@pytest.mark.parametrize("method", METHODS_WITH_FIELDS, ids=lambda method: method.name)
def test_there_and_back(method):
    assert get(**method.as_dict()) == method
    assert get(**json.loads(json.dumps(method.as_dict()))) == method
    plain = json.loads(json.dumps(method.as_dict()))  # YAML has no tuples
    assert get(**yaml.safe_load(yaml.safe_dump(plain))) == method
    assert eval(repr(method), vars(reducers)) == method


def test_a_name_is_needed():
    with pytest.raises(TypeError, match="name"):
        get(**{"retention": 0.1})
