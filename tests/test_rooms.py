"""Imports inside the package: no two files import each other, and no room imports a room above it."""

import ast
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import vidfold

PACKAGE = Path(vidfold.__file__).parent

FLOORS = (
    {"tokens", "checks", "versions", "extras", "replacing", "show", "transport", "video", "tiny"},
    {"clips", "drops", "linear", "newlines", "ops", "segments"},
    {"reducers", "tower"},
    {"models"},
    {"folding", "reading", "serving"},
    {"app", "planning"},
    {"batch", "bench", "evaluation", "live"},
    {"cli"},
)
"""Rooms by floor, lowest first. A room imports only its own floor and lower ones; models do not import reducers."""


def module_of(path: Path) -> str:
    parts = ("vidfold", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported(path: Path) -> Iterator[str]:
    """Modules of the package that a file imports, also inside functions."""
    return modules(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def at_once(path: Path) -> Iterator[str]:
    """Modules of the package that a file imports when it is imported."""
    return modules(ast.parse(path.read_text(encoding="utf-8")).body)


def modules(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Modules of the package in import statements."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name in FILES)
        elif isinstance(node, ast.ImportFrom):
            for each in node.names:
                name = f"{node.module}.{each.name}"
                if name in FILES or node.module in FILES:
                    yield name if name in FILES else str(node.module)


IMPORTS = {name: set(imported(path)) - {name} for name, path in FILES.items()}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_no_files_import_each_other():
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(f"these files import each other: {' -> '.join(error.args[1])}")


def test_packages_can_be_imported_in_any_order():
    """To import a file runs its packages first, so these may not wait for the file that imports it."""
    first = {
        name: {
            each
            for other in others
            for each in (".".join(other.split(".")[:size]) for size in range(2, other.count(".") + 2))
            if not name.startswith(each) and each in FILES
        }
        for name, others in {name: set(at_once(path)) - {name} for name, path in FILES.items()}.items()
    }
    try:
        TopologicalSorter(first).prepare()
    except CycleError as error:
        pytest.fail(f"these wait for each other: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("floor", range(len(FLOORS)), ids=lambda floor: "-".join(sorted(FLOORS[floor])))
def test_a_room_imports_no_room_above_it(floor):
    below = set().union(*FLOORS[: floor + 1])
    wrong = {
        f"{name} imports {other}"
        for name, others in IMPORTS.items()
        for other in others
        if room(name) in FLOORS[floor] and room(other) and room(other) not in below
    }
    assert wrong == set()


def test_models_do_not_import_reducers():
    assert not [name for name, others in IMPORTS.items() if room(name) == "models" and "reducers" in map(room, others)]
