"""The entry point of the plugin, with a stand-in for vLLM."""

import importlib
import logging
import sys
import tomllib
import types
from pathlib import Path

import pytest

from vidfold.serving import plugin


def stand_in(version):
    made = types.ModuleType("vllm")
    made.__version__ = version
    return made


@pytest.mark.parametrize(("version", "reason"), [("0.31.2", "is too old"), ("0.33.0", "is untested")])
def test_at_another_version_of_vllm_the_plugin_stays_off_and_says_so(version, reason, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "vllm", stand_in(version))
    with caplog.at_level(logging.WARNING, "vllm.vidfold"):
        plugin.register()
    (record,) = caplog.records
    message = record.getMessage()
    assert f"no video is folded: vllm {version} {reason}" in message
    assert "tested with 0.32 to 0.32" in message
    assert "'vllm>=0.32,<0.33'" in message


def test_vllm_finds_the_plugin_by_its_entry_point():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    module, _, name = project["entry-points"]["vllm.general_plugins"]["vidfold"].partition(":")
    assert getattr(importlib.import_module(module), name) is plugin.register
