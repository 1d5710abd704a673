"""Provenance of numbers, and what makes them stale."""

import sys
import textwrap

from vidfold.bench import provenance
from vidfold.bench.provenance import code_of
from vidfold.bench.run import COLUMNS
from vidfold.reducers import METHODS


def test_provenance_columns_are_filled(small):
    facts = provenance.provenance(small.model)
    assert set(facts) < {*COLUMNS, "dtype"}
    assert all(facts.values())


def test_code_of_a_method_is_its_own_and_what_it_imports(tmp_path, monkeypatch):
    package = tmp_path / "vidfold"
    (package / "ops").mkdir(parents=True)
    files = {
        "__init__.py": "",
        "one.py": "from vidfold.ops import cover\n\n\ndef late():\n    from vidfold import two\n",
        "two.py": "import torch",
        "three.py": "",
        "ops/__init__.py": "",
        "ops/cover.py": "from vidfold.ops.shares import kept",
        "ops/shares.py": "kept = 1",
    }
    for name, text in files.items():
        (package / name).write_text(textwrap.dedent(text))
    monkeypatch.setattr(provenance.vidfold, "__file__", str(package / "__init__.py"))
    monkeypatch.setitem(sys.modules, "one", type(sys)("one"))
    sys.modules["one"].__file__ = str(package / "one.py")

    def digest() -> str:
        code_of.cache_clear()
        return code_of("one")

    try:
        last = digest()
        assert digest() == last
        for name, matters in {"one.py": True, "two.py": True, "ops/shares.py": True, "three.py": False}.items():
            with (package / name).open("a") as file:
                file.write("\nx = 1\n")
            assert (digest() != last) == matters, name
            last = digest()
    finally:
        code_of.cache_clear()


def test_methods_have_their_own_code():
    codes = {code_of(method.__module__) for method in METHODS.values()}
    assert len(codes) == len({method.__module__ for method in METHODS.values()})
