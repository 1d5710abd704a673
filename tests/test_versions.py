"""Versions of other packages: older ones are refused, newer ones warned of, and pyproject.toml says the same."""

import tomllib
import types
import warnings
from pathlib import Path

import pytest

from vidfold import extras, tiny, versions
from vidfold.cli.console import quiet_libraries
from vidfold.video import sample, write

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
PINS = dict(
    line.split("==")
    for line in (Path(__file__).parent.parent / "constraints.txt").read_text().splitlines()
    if "==" in line and not line.startswith("#")
)


def module(name: str, version: str) -> types.ModuleType:
    made = types.ModuleType(name)
    made.__version__ = version
    return made


@pytest.mark.parametrize(
    ("name", "version"),
    [("transformers", "5.19.0"), ("transformers", "5.24.3"), ("av", "15.0.0"), ("av", "19.0.2"), ("numpy", "0.1")],
)
def test_tested_versions_pass_in_silence(name, version):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        versions.check(module(name, version))


@pytest.mark.parametrize(
    ("name", "version", "install"),
    [
        ("transformers", "5.18.1", ">=5.19,<5.25"),
        ("transformers", "4.57.0", ">=5.19,<5.25"),
        ("av", "14.4.0", ">=15,<20"),
    ],
)
def test_an_older_version_is_refused(name, version, install):
    with pytest.raises(ValueError, match=rf"{name} {version} is too old: vidfold is tested with .*'{name}{install}'"):
        versions.check(module(name, version))


@pytest.mark.parametrize(
    ("name", "version", "span"),
    [
        ("transformers", "5.25.0.dev0", "5.19 to 5.24"),
        ("transformers", "6.0.0rc1", "5.19 to 5.24"),
        ("av", "20.0", "15 to 19"),
    ],
)
def test_a_newer_version_is_warned_of(name, version, span):
    with pytest.warns(versions.UntestedVersion, match=rf"{name} {version} is untested.*tested with {span}"):
        versions.check(module(name, version))


def test_versions_are_checked_where_a_package_is_loaded(monkeypatch, tmp_path):
    monkeypatch.setattr("av.__version__", "20.0.0")
    with pytest.warns(versions.UntestedVersion, match=r"av 20\.0\.0"):
        write(tmp_path / "clip.mp4", tiny.render(seed=1).frames[:2], scale=2)
    with pytest.warns(versions.UntestedVersion, match=r"av 20\.0\.0"):
        sample(tmp_path / "clip.mp4", 1)
    monkeypatch.setattr("transformers.__version__", "5.18.0")
    with pytest.raises(ValueError, match=r"transformers 5\.18\.0 is too old"):
        extras.load("transformers", "models")


def test_the_warning_is_shown_where_libraries_are_quiet(recwarn):
    with quiet_libraries():
        warnings.warn("of a library", stacklevel=1)
        versions.check(module("av", "20.0.0"))
    assert [warning.category for warning in recwarn] == [versions.UntestedVersion]


def test_the_ranges_are_those_of_the_project():
    needed = [each for extra in PROJECT["optional-dependencies"].values() for each in extra]
    for name in versions.TESTED:
        (asked,) = {each for each in needed if each.startswith(name)}
        assert asked == versions.requirement(name)


def test_the_documents_say_the_ranges():
    text = " ".join((Path(__file__).parent.parent / "docs" / "install.md").read_text().split())
    for name, said in {"transformers": "transformers", "av": "PyAV"}.items():
        assert "{} {} to {}".format(said, *versions.TESTED[name]) in text


def test_pinned_versions_are_in_the_ranges():
    for name in versions.TESTED.keys() & PINS.keys():
        versions.check(module(name, PINS[name]))
