"""What is tried before a setting is chosen: valid methods, AOT first, nothing twice."""

import pytest

from lab.trials import DEFAULT, TRIALS


@pytest.mark.parametrize("trials", TRIALS.values(), ids=TRIALS)
def test_trials(trials):
    found = trials()
    assert next(iter(found)) == DEFAULT
    methods = [kind(retention=0.1, **fields) for kind, fields in found.values()]
    assert all(method.exact and method.count(10, 10) == 10 for method in methods)
    assert all(methods.count(method) == 1 for method in methods)
