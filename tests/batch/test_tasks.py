"""What is asked of what: every kind of input, and what is wrong with bad ones."""

import json
import os

import pytest

from vidfold.batch.manifest import read_manifest
from vidfold.batch.tasks import Task, checked_questions, listed, merged, read_questions

Q = ("what?",)


def names(tasks) -> list[str]:
    return [os.path.basename(task.path) for task in tasks]


@pytest.fixture
def folder(tmp_path):
    for name in ("b.mp4", "a.MKV", "deep/c.avi", "notes.txt", "odd 100%d\n[1].mp4"):
        path = tmp_path / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path / "videos"


def test_a_folder_is_searched_for_videos(folder):
    assert sorted(names(listed(str(folder), Q))) == ["a.MKV", "b.mp4", "c.avi", "odd 100%d\n[1].mp4"]


def test_loops_of_links_end_and_broken_links_are_videos_with_a_reason(folder):
    (folder / "deep" / "again").symlink_to(folder)
    (folder / "self.mp4").symlink_to(folder / "self.mp4")
    (folder / "gone.mp4").symlink_to(folder / "nothing")
    assert sorted(names(listed(str(folder), Q)))[-3:] == ["gone.mp4", "odd 100%d\n[1].mp4", "self.mp4"]


def test_a_file_is_one_whatever_its_name(folder):
    odd = folder / "odd 100%d\n[1].mp4"
    (task,) = listed(str(odd), Q)
    assert (task.id, task.path, task.questions) == (str(odd), str(odd), Q)
    assert names(listed(f"file://{folder / 'b.mp4'}", Q)) == ["b.mp4"]


def test_a_name_that_is_not_utf8(folder):
    name = os.fsdecode(b"caf\xe9.mp4")
    (folder / name).write_bytes(b"")
    assert name in names(listed(str(folder), Q))


def test_patterns(folder):
    assert names(listed(f"{folder}/**/*.avi", Q)) == ["c.avi"]
    assert names(listed(f"{folder}/[ab].*", Q)) == ["a.MKV", "b.mp4"]


def test_relative_paths_become_absolute(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (task,) = listed("b.mp4", Q)
    assert task.id == str(folder / "b.mp4")


def test_addresses():
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    for name in ("x/one.mp4", "x/y/two.mp4", "x/three.txt"):
        memory.pipe(f"/clips/{name}", b"0")
    addresses = ["memory://clips/x/one.mp4", "memory://clips/x/y/two.mp4"]
    assert [task.path.replace(":///", "://") for task in listed("memory://clips/x", Q)] == addresses
    assert len(list(listed("memory://clips/**/*.mp4", Q))) == 2
    assert [task.path for task in listed("memory://clips/x/one.mp4", Q)] == addresses[:1]
    assert [task.path for task in listed("https://host/a?b=*", Q)] == ["https://host/a?b=*"]
    with pytest.raises(ValueError, match=r"'memory://clips/x/y/\*.avi' holds no video"):
        listed("memory://clips/x/y/*.avi", Q)


@pytest.mark.parametrize(
    ("name", "said"),
    [("empty", "holds no video"), ("nothing.mp4", "does not exist"), ("*.webm", "no file is called as")],
)
def test_inputs_that_name_no_video(folder, name, said):
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match=said):
        list(listed(str(folder / name), Q))


def test_merged():
    one, other = Task.of("/a", ["x"]), Task.of("/b", ["x"])
    assert merged([one, other, Task.of("/a", ["y", "x"])]) == [Task.of("/a", ["x", "y"]), other]
    with pytest.raises(ValueError, match="id 'same' names two videos, '/a' and '/b'"):
        merged([Task("same", "/a", Q), Task("same", "/b", Q)])
    with pytest.raises(ValueError, match="nothing is asked about '/a'"):
        merged([Task.of("/a")])
    with pytest.raises(ValueError, match="no video was given"):
        merged([])


def test_questions(tmp_path):
    path = tmp_path / "questions.txt"
    path.write_text("\ufeffwhat?\n\n  why?  \n", encoding="utf-8")
    assert read_questions(str(path)) == ["what?", "why?"]
    assert checked_questions(["what?", "what?"]) == ["what?"]
    with pytest.raises(ValueError, match="question must not be empty"):
        checked_questions([" "])
    path.write_text("\n \n", encoding="utf-8")
    with pytest.raises(ValueError, match="has no question"):
        read_questions(str(path))
    path.write_bytes(b"caf\xe9")
    with pytest.raises(ValueError, match="cannot be read as questions"):
        read_questions(str(path))
    with pytest.raises(ValueError, match="cannot be read as questions"):
        read_questions(str(tmp_path / "none.txt"))


ROWS = [
    {"path": "a.mp4", "question": "why?", "id": "007", "start": "1.5", "end": "3"},
    {"path": "/else/b, c.mp4", "question": "", "id": "", "start": "", "end": ""},
    {"path": "s3://bucket/d.mp4", "question": "a\nb?", "id": "", "start": "2", "end": ""},
]


@pytest.fixture(params=["csv", "jsonl", "parquet"])
def manifest(request, tmp_path):
    path = tmp_path / f"list.{request.param}"
    if request.param == "csv":
        import csv

        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, ["other", *ROWS[0]])
            table.writeheader()
            table.writerows({"other": "1"} | row for row in ROWS)
    elif request.param == "jsonl":
        lines = ({name: value for name, value in row.items() if value} for row in ROWS)
        path.write_text("\n".join(json.dumps(line) for line in lines) + "\n", encoding="utf-8")
    else:
        pa = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(pa.Table.from_pylist(ROWS), path)
    return str(path)


def test_a_manifest(manifest, tmp_path):
    assert list(read_manifest(manifest, Q)) == [
        Task("007", str(tmp_path / "a.mp4"), ("why?",), 1.5, 3.0),
        Task("/else/b, c.mp4", "/else/b, c.mp4", Q),
        Task("s3://bucket/d.mp4#2-", "s3://bucket/d.mp4", ("a\nb?",), 2.0),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,question\na,b\n", "no column 'path', it has: file, question"),
        ("", "no column 'path', it has: none"),
        ("path\n", "has no rows"),
        ("path,id\n,x\n", "row 1 of .* has no path"),
        ("path,start\na,soon\n", "start of row 1 of .* must be seconds of at least 0, got 'soon'"),
        ("path,start\na,-1\n", "must be seconds of at least 0"),
        ("path,start,end\na,3,2\n", "row 1 of .* ends at 2 s, before its start at 3 s"),
        ("path,question\na,x\na,x\n", "row 2 of .* asks again 'x'"),
        ("path,question,id\na,x,1\nb,x,1\n", "row 2 of .* asks again 'x' of id '1': .* or give another id"),
        ("path,question\na,what, really?\n", "row 1 has more fields than columns: put text with commas in quotes"),
        ('"path"\n"a.mp4\n', "cannot be read as a table of videos: unexpected end of data"),
        ("path,question\na,  \n", "question must not be empty"),
        ("path\ncaf\xe9\n", "cannot be read as a table of videos"),
    ],
)
def test_bad_manifests(tmp_path, text, said):
    path = tmp_path / "list.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=said):
        list(read_manifest(str(path), ()))


def test_a_manifest_of_json_that_is_none(tmp_path):
    path = tmp_path / "list.jsonl"
    path.write_text('{"path": "a"}\n{"path"\n', encoding="utf-8")
    with pytest.raises(ValueError, match="cannot be read as a table of videos"):
        list(read_manifest(str(path), Q))
