"""The real lmms-eval command with the embedded model; where lmms-eval is installed (``make test-eval``)."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation import world
from vidfold.evaluation.frames import load
from vidfold.video import write

pytest.importorskip("lmms_eval")

TASKS = Path(__file__).parent / "tasks"
CLIPS = 4
NAMES = ("mvbench", "egoschema", "longvideobench", "videomme")
SAMPLES = CLIPS * (2 + 2 + 2 + 3) + 5 * CLIPS * 2
"""Generated answers of four tasks, and five likelihoods each of one."""


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A working folder with the little benchmarks."""
    folder = tmp_path_factory.mktemp("world")
    world.build(CLIPS, folder / world.FOLDER)
    return folder


def start(here, *command):
    """A command, offline, with caches of its own."""
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(here / "huggingface")}
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, command)],
        cwd=here,
        env=os.environ | offline,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def lmms_eval(here, arguments, tasks, output, *more):
    return start(
        here,
        *("lmms_eval", "--model", "vidfold", "--model_args", f"pretrained=tiny,{arguments}", "--tasks", tasks),
        *("--include_path", TASKS, "--output_path", output, "--verbosity", "ERROR", *more),
    )


def ended(process, code=0):
    out, _ = process.communicate(timeout=300)
    assert process.returncode == code, out
    return out


def scores(here, output):
    """Accuracies by task of the newest results."""
    path = max((here / output).glob("tiny/*_results.json"), key=lambda path: path.stat().st_mtime_ns)
    results = json.loads(path.read_text())["results"]
    return {task: values["accuracy,none"] for task, values in results.items() if "accuracy,none" in values}


def records(here, output):
    return [json.loads(line) for line in (here / output / "samples.rank0.jsonl").read_text().splitlines()]


def told(here, output):
    return json.loads((here / output / "vidfold.json").read_text())


def test_four_benchmarks_folded_and_unfolded(here):
    ended(lmms_eval(here, "method=none", "world", "unfolded", "--batch_size", 3))
    ended(lmms_eval(here, "method=aot,retention=0.10", "world", "folded", "--batch_size", 3, "--log_samples"))
    unfolded, folded = scores(here, "unfolded"), scores(here, "folded")
    assert set(unfolded) == set(folded) == {f"world_{name}" for name in (*NAMES, "egoschema_mcppl")}
    assert min(unfolded.values()) >= 0.75
    assert folded["world_egoschema"] >= 0.75
    assert told(here, "unfolded")["tokens"]["kept"] == {"mean": 1.0, "std": 0.0, "n": SAMPLES}
    summary = told(here, "folded")
    assert summary["tokens"]["after"] == 29
    assert summary["tokens"]["kept"]["n"] == SAMPLES
    assert summary["versions"]["lmms-eval"].startswith("0.7.")
    assert len(summary["tasks"]) == 5


def test_likelihoods_agree_with_generation(here):
    ended(lmms_eval(here, "method=none", "world_egoschema,world_egoschema_mcppl", "choosing"))
    generated, likely = scores(here, "choosing").values()
    assert generated == likely == 1.0


def test_killed_run_resumes(here):
    process = lmms_eval(here, "method=aot", "world_videomme,world_mvbench", "killed")
    path = here / "killed" / "samples.rank0.jsonl"
    while process.poll() is None and not (path.exists() and path.read_bytes().count(b"\n") >= 3):
        time.sleep(0.01)
    process.kill()
    process.communicate()
    before = len(records(here, "killed"))
    assert 3 <= before < 5 * CLIPS
    assert not (here / "killed" / "vidfold.json").exists()
    ended(lmms_eval(here, "method=aot", "world_videomme,world_mvbench", "killed"))
    keys = [record["key"] for record in records(here, "killed")]
    assert len(set(keys)) == len(keys) == 5 * CLIPS
    assert told(here, "killed")["samples"] == 5 * CLIPS


def test_the_response_cache_of_lmms_eval(here):
    tasks = "world_mvbench,world_egoschema_mcppl"
    for output in ("cached", "cached again"):
        ended(lmms_eval(here, "method=aot", tasks, output, "--use_cache", here / "cache"))
    assert scores(here, "cached") == scores(here, "cached again")
    assert {record["kind"] for record in records(here, "cached again")} == {"loglikelihood"}


@pytest.mark.parametrize("damage", ["missing", "broken"])
def test_unreadable_videos(here, tmp_path, damage):
    shutil.copytree(here / "out", tmp_path / "out")
    path = tmp_path / world.FOLDER / "clips" / "clip1.mp4"
    path.unlink()
    if damage == "broken":
        path.write_bytes(b"\0" * 1000)
    out = ended(lmms_eval(tmp_path, "method=none", "world_mvbench", "raise"), code=1)
    last = out.splitlines()[-1]
    assert last.startswith("vidfold: world_mvbench sample 2: ")
    assert "clip1.mp4" in last
    assert len(records(tmp_path, "raise")) == 2
    out = ended(lmms_eval(tmp_path, "method=none,on_error=skip", "world_mvbench", "skip"))
    assert out.count("world_mvbench sample 2: ") == 1
    assert (told(tmp_path, "skip")["samples"], told(tmp_path, "skip")["errors"]) == (2 * CLIPS - 2, 2)


@pytest.mark.parametrize(
    ("arguments", "quoted"),
    [
        ("method=aott", "vidfold: unknown method 'aott'; did you mean 'aot'?"),
        ("method=aot,retention=ten", "vidfold: retention must be a number in (0, 1], got 'ten'"),
        ("method=aot,fields=3", "vidfold: aot has no field 'fields'"),
    ],
)
def test_bad_arguments_get_one_line(here, arguments, quoted):
    out = ended(lmms_eval(here, arguments, "world_mvbench", "bad"), code=1)
    assert out.splitlines()[-1].startswith(quoted)
    assert "Traceback" not in out


def reproduce(here, *more):
    return start(
        here,
        *("vidfold", "reproduce", "table1", "--set", "pretrained=tiny", "frames=8", "--include-path", TASKS),
        *("--output", "reproduced", "--limit", 3, *more),
    )


def test_reproducing_rows_of_a_table(here):
    rows = ["--rows", "none", "grid", "--tasks", "MVBench=world_mvbench", "VideoMME=world_videomme"]
    lines = ended(reproduce(here, *rows)).splitlines()
    assert "tokens 288 -> 288 (100.0 %)" in lines[1]
    assert "tokens 288 -> 29 (10.1 %)" in lines[3]
    again = ended(reproduce(here, *rows)).splitlines()
    assert len(again) == 2
    assert all("done before, results in " in line for line in again)


@pytest.mark.parametrize(("rate", "count"), [(24, 96), (29.97, 700), (5, 24)])
@pytest.mark.parametrize("most", [8, 32])
def test_frames_equal_those_of_lmms_eval(tmp_path, rate, count, most):
    decord = pytest.importorskip("decord")
    path = str(tmp_path / "clip.mp4")
    noise = np.random.default_rng(0).integers(0, 255, (count, 4, 4, 3), dtype=np.uint8)
    write(path, noise.repeat(8, 1).repeat(8, 2), fps=rate)
    reader = decord.VideoReader(path, ctx=decord.cpu(0))
    even = np.linspace(0, len(reader) - 1, most, dtype=int).tolist()  # llava_onevision
    seconds = list(range(0, len(reader), round(reader.get_avg_fps())))  # llava_vid
    for places, every_second in ((even, False), (seconds if len(seconds) <= most else even, True)):
        frames = load(path, most, every_second=every_second)
        assert np.array_equal(frames.pixels, reader.get_batch(places).asnumpy())


def test_unknown_task_stops_a_row(here):
    out = ended(reproduce(here, "--rows", "none", "--tasks", "world_nothing"), code=2)
    assert "vidfold: row none: Tasks not found: world_nothing" in out.splitlines()[-1]
