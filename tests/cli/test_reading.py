"""``vidfold read``, several questions by ``vidfold ask``, and ``vidfold chat``."""

import io
import json

import pytest

from tests.cli.running import CLIP, refused
from vidfold.cli import main
from vidfold.tiny import questions

ASKED = questions(CLIP)[:2]
WORDS = [each.text for each in ASKED]


@pytest.fixture(scope="module")
def read(clip, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("read") / "clip.vidfold")
    assert main(["read", clip, "--output", path, "--retention", "0.2", "--cache"]) == 0
    return path


def test_several_questions(capsys, clip):
    assert main(["ask", clip, *WORDS, "--retention", "0.2"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    for each in ASKED:
        assert f"{each.text} {each.answer}" in told
    assert "288 -> 58 tokens (20.1 %)" in told


def test_a_video_that_was_read_is_asked_without_decoding(capsys, read, monkeypatch):
    monkeypatch.setattr("vidfold.video.sample", lambda *_, **__: pytest.fail("decoded"))
    assert main(["ask", read, *WORDS, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [each["text"] for each in report["answers"]] == [each.answer for each in ASKED]
    assert (report["tokens_before"], report["tokens_after"], len(report["timestamps"])) == (288, 58, 8)
    assert main(["ask", read, WORDS[0]]) == 0
    assert "no frame decoded" in " ".join(capsys.readouterr().out.split())


def test_questions_from_the_standard_input(capsys, read, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(["", *WORDS])))
    assert main(["ask", read, "-", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [each["question"] for each in report["answers"]] == WORDS
    assert report["notes"] == []
    monkeypatch.setattr("sys.stdin", io.StringIO(" "))
    assert "reads the standard input, which has none" in refused(capsys, "ask", read, "-")


def test_questions_that_the_embedded_model_never_learnt(capsys, clip, read):
    strange = "tell me a story about dinosaurs"
    for video in (clip, read):
        assert main(["ask", video, strange]) == 0
        assert f"never learnt to answer {strange!r}" in " ".join(capsys.readouterr().out.split())


def test_chat(capsys, read, monkeypatch):
    lines = ["/frames", WORDS[0], "", "/tokens", "/magic", WORDS[1], "/quit", "never asked"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines)))
    assert main(["chat", read]) == 0
    out = capsys.readouterr().out
    assert "8 frames at 0.00, " in out
    assert "video 288 -> 58, conversation" in out
    assert "no command '/magic'" in out
    assert ASKED[0].answer in out.split("8 frames at")[1]
    assert "never" not in out


def test_a_file_is_watched_and_goes_on_where_it_was_interrupted(capsys, clip, tmp_path, monkeypatch):
    from vidfold.reading import Stream

    arguments = ["ask", clip, WORDS[0], "--stream", "--fps", "3", "--max-tokens", "400"]
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert len(whole["timestamps"]) <= 12
    assert whole["tokens_after"] <= 400
    push, pushed = Stream.push, []

    def interrupted(stream, frames, times):
        if len(pushed) == 9:
            raise KeyboardInterrupt
        pushed.append(times)
        push(stream, frames, times)

    with monkeypatch.context() as patch:
        patch.setattr(Stream, "push", interrupted)
        assert main([*arguments, "--json"]) == 130
    captured = capsys.readouterr()
    assert "kept what was read in clip.mp4.watched" in captured.err
    assert [each.name for each in tmp_path.iterdir()] == ["clip.mp4.watched"]
    assert "keeps another file or rate" in refused(capsys, *arguments[:-3], "2", *arguments[-2:])
    pushed.clear()
    monkeypatch.setattr(Stream, "push", lambda *given: pushed.append(given[2]) or push(*given))
    assert main([*arguments, "--json"]) == 0
    captured = capsys.readouterr()
    assert "going on from clip.mp4.watched after 2.3" in captured.err
    assert len(pushed) == 12 - 8
    again = json.loads(captured.out)
    assert (again["timestamps"], again["answers"]) == (whole["timestamps"], whole["answers"])
    assert list(tmp_path.iterdir()) == []


def test_bad_arguments(capsys, clip, read, tmp_path):
    assert "question must not be empty" in refused(capsys, "ask", read, WORDS[0], " ")
    assert "--compare takes one question" in refused(capsys, "ask", clip, *WORDS, "--compare")
    assert "--compare takes one question" in refused(capsys, "ask", read, WORDS[0], "--compare")
    assert "must end in .vidfold" in refused(capsys, "read", clip, "--output", "clip.mp4")
    assert "was read already" in refused(capsys, "read", read, "--output", "a.vidfold")
    assert "--stream takes the video itself" in refused(capsys, "ask", read, WORDS[0], "--stream")
    assert "fps must be positive" in refused(capsys, "ask", clip, WORDS[0], "--stream", "--fps", "0")
    assert "max_tokens=9 is too small" in refused(capsys, "ask", clip, WORDS[0], "--stream", "--max-tokens", "9")
    missing = str(tmp_path / "no" / "a.vidfold")
    assert "is not there: make it first" in refused(capsys, "read", clip, "--output", missing)
    assert "is not there" in refused(capsys, "ask", str(tmp_path / "none.vidfold"), WORDS[0])
    assert "with other weights" in refused(capsys, "ask", read, WORDS[0], "--model", "tiny-whole")
    (tmp_path / "cut.vidfold").write_bytes(b"cut")
    assert "cut short, damaged, or no saved video" in refused(capsys, "chat", str(tmp_path / "cut.vidfold"))
