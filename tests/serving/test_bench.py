"""``vidfold bench serve`` with a real server; where vLLM is installed (``make test-vllm``)."""

import json
import sys

import pytest

from vidfold.cli import main

pytest.importorskip("vllm")


def test_the_bench_of_a_server(tmp_path, capsys):
    options = ["--clients", "1", "2", "--requests", "1", "--turns", "2", "--frames", "16", "--output", str(tmp_path)]
    assert main(["bench", "serve", "--model", "tiny", *options]) == 0
    told = capsys.readouterr().out
    with capsys.disabled():
        sys.stdout.write(f"\n{told}")
    samples = json.loads((tmp_path / "serve.json").read_text())
    assert [(each["clients"], each["way"]) for each in samples] == [
        (count, way) for count in (1, 2) for ways in (("unfolded", "folded"), ("folded", "unfolded")) for way in ways
    ]
    for sample in samples:
        kept = 577 if sample["way"] == "unfolded" else 59
        for answer in sample["answers"] + sample["follow_ups"]:
            assert answer["error"] == ""
            assert 0 <= answer["prompt"] - kept <= 16
        assert all(answer["cached"] < 32 for answer in sample["answers"])
        assert all(answer["cached"] >= kept // 32 * 32 - 32 for answer in sample["follow_ups"])
