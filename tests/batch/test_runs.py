"""Whole runs on both engines, with processes that are killed: exactly one row for every question."""

import http.server
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.batch.deadly import Deadly
from vidfold.batch import Ask, Resources, Settings, Task, rows_of, run, status
from vidfold.tiny import render, seeds
from vidfold.video import write

pytestmark = pytest.mark.lab
pytest.importorskip("pyarrow")
HAS_RAY = importlib.util.find_spec("ray") is not None
ENGINES = ["local", pytest.param("ray", marks=pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed"))]
AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
"""Processes of Ray's own that look only now and then whether it is there."""
QUESTION = "what is shown?"


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    """40 clips, one of them cut short."""
    folder = tmp_path_factory.mktemp("clips")
    for number, seed in enumerate(seeds("search", 40)):
        write(folder / f"{number:02d}.mp4", render(seed).frames, scale=2)
    damaged = folder / "17.mp4"
    damaged.write_bytes(damaged.read_bytes()[:3000])
    return folder


def batch(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "vidfold", "batch", *map(str, arguments)]


def workers_of(driver: psutil.Process) -> list[psutil.Process]:
    """Processes with a model: those that a driver's fork server forked, or actors."""
    forked = [grandchild for child in driver.children() for grandchild in child.children()]
    every = driver.children(recursive=True)
    actors = [each for each in every if "".join(each.cmdline()[:1]).startswith("ray::Actor")]
    return actors or [each for each in forked if "forkserver" in " ".join(each.cmdline())]


def written(output: Path) -> int:
    return len(list(rows_of(output))) if (output / "_settings.json").exists() else 0


def until(reached, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("engine", ENGINES)
def test_forty_clips_with_a_worker_and_the_driver_killed(clips, tmp_path, engine):
    output = tmp_path / "out"
    command = batch(clips, "--question", QUESTION, "--output", output, "--workers", 2, "--engine", engine)
    driver = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        until(lambda: written(output) >= 5)
        begun = psutil.Process(driver.pid).children(recursive=True)
        workers_of(psutil.Process(driver.pid))[0].kill()
        until(lambda: written(output) >= 20)
    finally:
        driver.kill()
        driver.communicate()
    there = written(output)
    assert 20 <= there < 40
    _, alive = psutil.wait_procs(begun, timeout=30)
    assert not [each for each in alive if each.name() not in AGENTS]  # nothing outlives the driver
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert Counter(Path(row["path"]).name for row in rows) == Counter(f"{number:02d}.mp4" for number in range(40))
    (failed,) = [row for row in rows if row["error"]]
    assert failed["id"] == str(clips / "17.mp4")
    assert "damaged" in failed["error"]
    pq = pytest.importorskip("pyarrow.parquet")
    assert sorted(pq.read_table(output)["key"].to_pylist()) == sorted(row["key"] for row in rows)
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "no row: all were there" in again.stdout


def test_two_drivers_at_once(clips, tmp_path):
    command = batch(clips, "--question", QUESTION, "--output", tmp_path / "out")
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    until(lambda: (tmp_path / "out" / "_run.json").exists())
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 2
    assert f"(the last one to begin is process {first.pid} on {socket.gethostname()})" in second.stderr
    assert status(tmp_path / "out")["running"]
    first.communicate()
    assert status(tmp_path / "out") | {"settings": {}, "reasons": {}} == {
        "rows": 40, "wanted": 40, "errors": 1, "parts": 1, "running": False, "settings": {}, "reasons": {},
    }  # fmt: skip


def test_an_interrupted_run_ends_cleanly(clips, tmp_path):
    output = tmp_path / "out"
    # A shell starts what runs in its background with this signal ignored, and tests may run there.
    driver = subprocess.Popen(
        batch(clips, "--question", QUESTION, "--output", output),
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    until(lambda: written(output) >= 3)
    driver.send_signal(signal.SIGINT)
    assert driver.communicate()[1] == b"vidfold: interrupted\n"
    assert driver.returncode == 130
    assert status(output)["parts"] == 1


def test_a_full_disk_half_way(clips, tmp_path):
    output = tmp_path / "out"
    command = batch(clips, "--question", QUESTION, "--output", output)
    full = subprocess.run(
        ["bash", "-c", f"ulimit -f 8 && exec {' '.join(command[:1])} \"$@\"", "-", *command[1:]],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert full.returncode == 2
    assert "No row is lost: make room, and run the same command again" in full.stderr
    assert 0 < written(output) < 40
    subprocess.run(command, check=True, capture_output=True)
    assert len({row["key"] for row in rows_of(output)}) == written(output) == 40


@pytest.mark.parametrize("engine", ENGINES)
def test_a_video_that_ends_every_worker(clips, tmp_path, engine):
    """The method kills its own process when it sees the clip of one second."""
    tasks = [Task.of(str(clips / f"{number:02d}.mp4"), ["a?", "b?"]) for number in range(4)]
    tasks[2] = Task("deadly", tasks[2].path, ("a?", "b?"), 0.0, 0.9)
    settings, resources = Settings(reducer=Deadly(frames=2)), Resources(workers=2, retries=1)
    tally = run(tasks, output=tmp_path / "out", settings=settings, resources=resources, engine=engine)
    rows = list(rows_of(tmp_path / "out"))
    assert len(rows) == len({row["key"] for row in rows}) == 8
    assert {row["id"] for row in rows if row["error"]} == {"deadly"}
    assert "ended 2 workers that had nothing else" in next(row["error"] for row in rows if row["error"])
    assert tally.restarts >= 2


class _Silent(http.server.BaseHTTPRequestHandler):
    """Serves clips, and hangs where a path says so."""

    folder = Path()

    def do_GET(self):
        if "hang" in self.path:
            time.sleep(600)
        path = self.folder / self.path.removeprefix("/")
        self.send_response(200 if path.exists() else 404)
        self.end_headers()
        if path.exists():
            self.wfile.write(path.read_bytes())

    def do_HEAD(self):
        self.do_GET()

    def log_message(self, *_):
        pass


def test_addresses_that_answer_hang_or_are_gone(clips, tmp_path):
    pytest.importorskip("aiohttp")
    handler = type("Handler", (_Silent,), {"folder": clips})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        names = ["00.mp4", "hang.mp4", "gone.mp4", "01.mp4"]
        resources = Resources(timeout=3.0, retries=1, decoders=2)
        run([f"{host}/{name}" for name in names], QUESTION, output=tmp_path / "out", resources=resources)
    finally:
        server.shutdown()
        server.server_close()
    errors = {row["id"].rpartition("/")[2]: row["error"] for row in rows_of(tmp_path / "out")}
    assert errors["00.mp4"] is errors["01.mp4"] is None
    assert "was not decoded within 3 s, 2 times" in errors["hang.mp4"]
    assert "gone.mp4' cannot be read: ClientResponseError: 404" in errors["gone.mp4"]
    assert not list(Path(os.environ.get("TMPDIR", "/tmp")).glob("vidfold-batch-*/video"))


def test_answers_are_those_of_single_questions(clips, tmp_path):
    """In batches, and of one reading, as alone."""
    paths = [str(clips / f"{number:02d}.mp4") for number in range(6)]
    run(paths, ["what is shown?", "what is the scene?"], output=tmp_path / "read")
    run(paths, "what is shown?", output=tmp_path / "batch", resources=Resources(batch_size=3, decoders=3))
    run(paths, "what is shown?", output=tmp_path / "alone", resources=Resources(batch_size=1, decoders=1))
    found = [
        {row["id"]: row["answer"] for row in rows_of(tmp_path / name) if row["question"] == "what is shown?"}
        for name in ("read", "batch", "alone")
    ]
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 6


def test_a_stage_of_a_pipeline(clips):
    pa = pytest.importorskip("pyarrow")
    paths = [str(clips / name) for name in ("00.mp4", "17.mp4", "01.mp4")]
    table = Ask(QUESTION)({"path": paths, "mine": [1, 2, 3]})
    assert table.column_names[:3] == ["path", "mine", "answer"]
    assert [error is None for error in table["error"].to_pylist()] == [True, False, True]
    asked = Ask()(pa.table({"path": paths[:1], "question": [QUESTION]}))
    assert asked["answer"].to_pylist() == table["answer"].to_pylist()[:1]
    with pytest.raises(ValueError, match="there is no column 'question', only: path"):
        Ask()({"path": paths})


@pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed")
def test_a_stage_of_ray_data(clips):
    import ray.data

    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False)
    try:
        paths = [{"path": str(clips / f"{number:02d}.mp4")} for number in (0, 1, 17)]
        for stage in (
            ray.data.from_items(paths).map_batches(Ask(QUESTION)),
            ray.data.from_items(paths).map_batches(Ask, fn_constructor_args=[QUESTION], concurrency=1),
        ):
            rows = sorted(stage.take_all(), key=lambda row: row["path"])
            assert [row["answer"] is None for row in rows] == [False, False, True]
    finally:
        ray.shutdown()
