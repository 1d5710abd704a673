"""The output folder: whatever is cut off at whatever moment, every row is there once."""

import json
import os
import resource

import pytest

from vidfold import AOT
from vidfold.batch.ledger import Ledger
from vidfold.batch.output import JOURNAL, parts
from vidfold.batch.rows import failed, row
from vidfold.batch.settings import Settings
from vidfold.batch.tasks import Task

pq = pytest.importorskip("pyarrow.parquet")
SETTINGS = Settings()


def made(number: int, error: str | None = None) -> dict:
    answer = None if error else "yes"
    seconds = {"decode": 0.5}
    task = Task(str(number), f"/videos/{number}.mp4")
    return row(task, "what?", SETTINGS.hash, "weights", answer=answer, error=error, times=[0.0, 1.0], seconds=seconds)


def ids(folder) -> list[str]:
    return pq.read_table(folder, columns=["id"])["id"].to_pylist()


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr("vidfold.batch.ledger.ROWS", 3)


def test_rows_are_there_once(tmp_path, few):
    with Ledger(tmp_path, SETTINGS) as ledger:
        for number in range(7):
            assert len(ledger.add([made(number)])) == 1
            assert ledger.add([made(number)]) == []
        assert len(parts(tmp_path)) == 2
    assert ids(tmp_path) == list("0123456")
    with Ledger(tmp_path, SETTINGS) as ledger:
        assert ledger.done == {made(number)["key"] for number in range(7)}
        assert ledger.add([made(6), made(7)]) == [made(7)]
    assert ids(tmp_path) == list("01234567")


def test_a_part_has_all_columns(tmp_path):
    with Ledger(tmp_path, SETTINGS) as ledger:
        ledger.add(failed(Task("caf\udce9", "/caf\udce9", ("a", "b"), 1.0), SETTINGS.hash, "", "broken"))
    first, second = pq.read_table(tmp_path).to_pylist()
    assert (first["id"], first["question"], second["question"]) == ("caf\\udce9", "a", "b")
    assert (first["start"], first["end"], first["answer"], first["error"]) == (1.0, None, None, "broken")


def killed(folder) -> None:
    """Leave a folder as a process that was killed leaves it."""
    ledger = Ledger(folder, SETTINGS).__enter__()
    ledger.add([made(1), made(2)])
    os.close(ledger._file)
    ledger._lock.release()


def test_what_a_killed_process_wrote_is_kept(tmp_path):
    killed(tmp_path)
    assert parts(tmp_path) == []
    (tmp_path / "part-000001.parquet.part").write_bytes(b"half")
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(json.dumps(made(3)).encode()[:40])
    with Ledger(tmp_path, SETTINGS) as ledger:
        assert ledger.done == {made(1)["key"], made(2)["key"]}
        ledger.add([made(3)])
    assert ids(tmp_path) == list("123")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name[0] != "_") == ["part-000001.parquet"]


def test_rows_in_a_part_and_in_the_journal_count_once(tmp_path):
    killed(tmp_path)
    lines = (tmp_path / JOURNAL).read_bytes()
    with Ledger(tmp_path, SETTINGS):
        pass
    (tmp_path / JOURNAL).write_bytes(lines)
    with Ledger(tmp_path, SETTINGS) as ledger:
        ledger.add([made(3)])
    assert ids(tmp_path) == list("123")


@pytest.mark.parametrize("limit", [200, 500])
def test_a_full_disk(tmp_path, limit):
    """``limit`` bytes of a file are as if the disk were full: in the first row of the journal, or in the second."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> None:
        with Ledger(tmp_path, SETTINGS) as ledger:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
            try:
                for number in range(9):
                    ledger.add([made(number)])
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)

    with pytest.raises(OSError, match="No row is lost: make room, and run the same command again"):
        fill()
    with Ledger(tmp_path, SETTINGS) as ledger:
        assert len(ledger.done) == (0 if limit == 200 else 1)
        ledger.add([made(number) for number in range(9)])
    assert sorted(ids(tmp_path)) == list("012345678")


def test_a_part_that_cannot_be_written_keeps_its_rows_in_the_journal(tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    ledger = Ledger(tmp_path, SETTINGS).__enter__()
    ledger.add([made(1)])
    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", full)
        with pytest.raises(OSError, match="No space left"):
            ledger.__exit__(None, None, None)
    assert parts(tmp_path) == []
    with Ledger(tmp_path, SETTINGS) as ledger:
        assert ledger.done == {made(1)["key"]}
    assert ids(tmp_path) == ["1"]


def test_one_process_at_a_time(tmp_path):
    with Ledger(tmp_path, SETTINGS) as ledger:
        ledger.begin(3)
        with pytest.raises(ValueError, match=rf"another run writes to .* process {os.getpid()} on"):
            Ledger(tmp_path, SETTINGS).__enter__()


def test_other_settings_are_refused(tmp_path):
    with Ledger(tmp_path, SETTINGS):
        pass
    other = Settings(frames=16, reducer=AOT(0.2))
    with pytest.raises(ValueError, match=r"frames is 8 there and 16 here; method.retention is 0.1 there and 0.2 here"):
        Ledger(tmp_path, other).__enter__()


def test_other_weights_are_refused(tmp_path):
    for _ in range(2):
        with Ledger(tmp_path, SETTINGS) as ledger:
            ledger.check_model("one")
    with Ledger(tmp_path, SETTINGS) as ledger, pytest.raises(ValueError, match="weights of 'tiny' are not those"):
        ledger.check_model("other")


def test_errors_are_asked_again_where_they_are_wanted(tmp_path, few):
    rows = [made(number, "broken" if number in (1, 3, 4, 5, 6) else None) for number in range(7)]
    with Ledger(tmp_path, SETTINGS) as ledger:
        ledger.add(rows[:3])
        ledger.add(rows[3:6])
        ledger.add(rows[6:])
        keys = [each["key"] for each in rows]
        assert ledger.forget_errors(keys[:6]) == 4
        assert ledger.done == {keys[0], keys[2], keys[6]}
        ledger.add([made(1), made(3)])
    assert sorted(ids(tmp_path)) == list("01236")


def test_a_damaged_part_is_named(tmp_path):
    with Ledger(tmp_path, SETTINGS) as ledger:
        ledger.add([made(1)])
    (path,) = parts(tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"part-000001.parquet' is damaged .* move it away, and its rows"):
        Ledger(tmp_path, SETTINGS).__enter__()


def test_outputs_that_are_none(tmp_path):
    with pytest.raises(ValueError, match="must be a folder of this machine"):
        Ledger("s3://bucket/out", SETTINGS).__enter__()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="cannot write to"):
        Ledger(tmp_path / "file", SETTINGS).__enter__()
    (tmp_path / "part-1.parquet").write_bytes(b"")
    with pytest.raises(ValueError, match="holds parts without"):
        Ledger(tmp_path, SETTINGS).__enter__()
