"""``vidfold methods``."""

from vidfold.cli import main
from vidfold.reducers import METHODS


def test_methods(capsys):
    assert main(["methods"]) == 0
    out = capsys.readouterr().out
    for name, method in METHODS.items():
        assert f"\n{name} " in out
        assert all(need in out for need in method().needs)
