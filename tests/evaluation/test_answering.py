"""Requests in, answers out, with the embedded model."""

import dataclasses
import json

import pytest
import torch

from vidfold import AOT, fold
from vidfold.app.asking import ask
from vidfold.evaluation.answering import Evaluator, Request
from vidfold.evaluation.calling import generation
from vidfold.evaluation.frames import load
from vidfold.evaluation.records import Records
from vidfold.evaluation.settings import Settings, split, written
from vidfold.planning import paid_for
from vidfold.video import sample, write

METHODS = [{"method": "none"}, {"method": "aot", "retention": 0.25}, {"method": "fastv"}]


def evaluator(loaded, folder=None, **arguments):
    settings = Settings.of(record=folder, **arguments)
    return Evaluator(loaded, settings, Records(settings.record, settings.hash))


@pytest.fixture(scope="module")
def asked(clips):
    """Requests about three clips, the first and the last scene of each, with their true answers."""
    requests, answers = [], []
    for path, questions in clips:
        for question in questions[:2]:
            requests.append(Request("task", "test", len(requests), question.text, lambda path=path: path))
            answers.append(question.answer)
    return requests, answers


@pytest.mark.parametrize("method", METHODS)
def test_answers_equal_asking_about_a_file(tiny, asked, method):
    requests, answers = (each[:3] for each in asked)
    run = evaluator(tiny, batch_size=2, **method)
    said = [ask(tiny, sample(each.video(), 8), each.text, run.settings.reducer).text for each in requests]
    assert run.answer(requests) == said
    assert evaluator(tiny, batch_size=1, **method).answer(requests[:1]) == said[:1]
    if method["method"] == "none":
        assert said == answers


@pytest.mark.parametrize("method", METHODS)
def test_likelihoods_are_the_same_in_batches_and_point_to_the_answer(tiny, asked, method):
    requests, answers = asked
    words = [answers[0], "red", "three", "sea circle"]
    scored = [dataclasses.replace(requests[0], answer=f" {word}") for word in words]
    alone = evaluator(tiny, batch_size=1, **method).answer(scored)
    together = evaluator(tiny, batch_size=4, **method).answer(scored)
    assert [loss for loss, _ in together] == pytest.approx([loss for loss, _ in alone], rel=1e-4, abs=1e-5)
    assert [greedy for _, greedy in alone] == [True, False, False, False]
    assert min(alone) == alone[0]


@pytest.mark.parametrize("folded", [False, True])
def test_likelihood_equals_the_loss_of_transformers(tiny, asked, folded):
    (request, *_), _ = asked
    arguments = {"method": "aot", "retention": 0.1} if folded else {"method": "none"}
    ours = evaluator(tiny, **arguments)
    ((loss, _),) = ours.answer([dataclasses.replace(request, answer=" red circle")])
    frames = ours._frames(request)
    inputs, (length,) = ours._caller.batch([frames], [request.text], [" red circle"])
    labels = inputs["input_ids"].clone()
    labels[:, :-length] = -100
    with torch.no_grad():
        if folded:
            with fold(tiny.model, AOT(retention=0.1)):
                expected = tiny.model(**inputs, labels=labels).loss
        else:
            expected = tiny.model(**inputs, labels=labels).loss
    assert length == 3
    assert loss == pytest.approx(expected.item(), rel=1e-5)


def test_keeping_all_tokens_is_the_untouched_model(tiny, asked):
    scored = [dataclasses.replace(asked[0][0], answer=word) for word in ("sea", "red")]
    pairs = zip(
        evaluator(tiny, method="none").answer(scored), evaluator(tiny, method="identity").answer(scored), strict=True
    )
    for untouched, kept in pairs:
        assert kept == pytest.approx(untouched, abs=1e-5)


def test_videos_of_unequal_length_in_one_batch(tiny, clips, tmp_path):
    path, questions = clips[0]
    short = tmp_path / "short.mp4"
    write(short, load(path, 8, every_second=False).pixels[:2], fps=0.5)
    requests = [
        Request("task", "test", number, questions[0].text, lambda video=video: video)
        for number, video in enumerate([path, str(short), path])
    ]
    run = evaluator(tiny, method="none", batch_size=3, force_sample=False)
    assert run.answer(requests) == [questions[0].answer] * 3
    assert [each["frames"] for each in sorted(run.records, key=lambda each: each["doc"])] == [4, 2, 4]


def test_records_and_summary(tiny, asked, tmp_path):
    requests, answers = asked
    run = evaluator(tiny, tmp_path, method="aot", retention=0.1, batch_size=2)
    run.answer(requests)
    run.write_summary()
    told = json.loads((tmp_path / "vidfold.json").read_text())
    assert told["method"]["name"] == "aot"
    assert told["retention"] == 0.1
    assert told["tokens"]["before"] == 288
    assert told["tokens"]["after"] == 29
    assert told["tokens"]["kept"] == {"mean": pytest.approx(29 / 288), "std": 0.0, "n": 6}
    assert set(told["seconds"]) == {"decode", "preprocess", "encode", "fold", "splice", "generate"}
    assert told["sampling"] == {"frames": 8, "force_sample": True}
    assert (told["pretrained"], told["frames"], told["errors"]) == ("tiny", 8, 0)
    assert told["config_hash"] == run.settings.hash
    assert told["versions"]["torch"] == torch.__version__
    assert told["settings"]["dtype"] == "float32"
    lines = [json.loads(line) for line in (tmp_path / "samples.rank0.jsonl").read_text().splitlines()]
    assert [line["answer"] for line in lines] == answers
    assert {line["kind"] for line in lines} == {"generate_until"}


def test_a_number_of_tokens_is_kept_exactly_of_as_many_frames_as_it_pays_for(tiny, asked, tmp_path):
    arguments = split(written({"method": "aot", "tokens": 40}))
    run = evaluator(tiny, tmp_path, **arguments)
    run.answer(asked[0][:2])
    told = run.summary()
    assert told["sampling"]["frames"] == paid_for(40, 36) == 16
    assert (told["tokens"]["before"], told["tokens"]["after"]) == (16 * 36, 40)
    fewer = evaluator(tiny, tmp_path, frames=4, **arguments)
    fewer.answer(asked[0][:2])
    assert (fewer.summary()["tokens"]["before"], fewer.summary()["tokens"]["after"]) == (4 * 36, 40)
    assert fewer.settings.hash != run.settings.hash
    with pytest.raises(ValueError, match="fastv has no field 'tokens'"):
        evaluator(tiny, method="fastv", tokens=40)


def test_methods_inside_the_language_model_report_layer_retention(tiny, asked):
    run = evaluator(tiny, method="fastv", retention=0.5, layer=2)
    run.answer(asked[0][:1])
    assert run.summary()["tokens"] == {
        "before": 288,
        "after": 288,
        "kept": {"mean": 1.0, "std": 0.0, "n": 1},
        "inside": 0.75,
    }


def test_no_duplicates_after_an_interruption(tiny, asked, tmp_path):
    requests, answers = asked

    class Interrupted(Exception):
        pass

    def stop(done, total):
        if done == 4:
            raise Interrupted

    first = evaluator(tiny, tmp_path, method="aot")
    first.watch = stop
    with pytest.raises(Interrupted):
        first.answer(requests)
    seen = []
    second = evaluator(tiny, tmp_path, method="aot")

    def watched(request):
        return dataclasses.replace(request, video=lambda: seen.append(request.doc) or request.video())

    assert second.answer(list(map(watched, requests))) == answers
    assert seen == [4, 5]
    assert second.answer(requests) == answers
    assert len((tmp_path / "samples.rank0.jsonl").read_text().splitlines()) == len(requests)


def test_repeated_requests_are_all_answered(tiny, asked):
    request = asked[0][0]
    run = evaluator(tiny)
    assert len(run.answer([request, request])) == 2
    assert len(list(run.records)) == 2


def test_fillers_are_not_counted(tiny, asked):
    (request, *_), (answer, *_) = asked
    run = evaluator(tiny, method="none")
    assert run.answer([request, dataclasses.replace(request, recorded=False)]) == [answer, answer]
    assert len(list(run.records)) == 1


def test_unreadable_fillers_are_not_counted(tiny, asked, tmp_path):
    filler = dataclasses.replace(asked[0][0], video=lambda: str(tmp_path / "nowhere.mp4"), recorded=False)
    told = []
    settings = Settings.of(method="none", on_error="skip")
    run = Evaluator(tiny, settings, Records(None, settings.hash), complain=told.append)
    assert run.answer([filler]) == [""]
    assert (run.summary()["errors"], told) == (0, [])


@pytest.mark.parametrize("batch_size", [1, 3])
def test_progress_counts_skipped_samples(tiny, asked, tmp_path, batch_size):
    requests = asked[0][:1]
    broken = dataclasses.replace(requests[0], video=lambda: str(tmp_path / "nowhere.mp4"), doc=99)
    seen = []
    run = evaluator(tiny, method="none", on_error="skip", batch_size=batch_size)
    run.watch = lambda *step: seen.append(step)
    run.answer([broken, *requests, dataclasses.replace(broken, doc=100)])
    assert seen[-1] == (3, 3)


@pytest.fixture(params=["missing", "broken", "exit"])
def unreadable(request, tmp_path):
    """A video that cannot be read, and what is said of it."""
    if request.param == "exit":

        def leave():
            raise SystemExit("video path:/data/clip.mp4 does not exist, please check")

        return leave, "does not exist, please check"
    path = tmp_path / "clip.mp4"
    if request.param == "broken":
        path.write_bytes(b"\0" * 100)
    return lambda: str(path), "does not exist" if request.param == "missing" else "cannot be read as a video"


def test_unreadable_video_stops_the_run(tiny, asked, unreadable):
    broken = dataclasses.replace(asked[0][0], video=unreadable[0], doc=99)
    with pytest.raises(ValueError) as error:
        evaluator(tiny).answer([broken])
    assert "task sample 99" in str(error.value)
    assert unreadable[1] in str(error.value)
    assert "on_error=skip" in str(error.value)


def test_unreadable_video_is_reported_and_skipped(tiny, asked, unreadable, tmp_path):
    requests, answers = asked
    broken = dataclasses.replace(requests[0], video=unreadable[0], doc=99)
    told = []
    settings = Settings.of(method="none", on_error="skip", batch_size=3, record=tmp_path / "run")
    run = Evaluator(tiny, settings, Records(settings.record, settings.hash), complain=told.append)
    assert run.answer([requests[0], broken, requests[1]]) == [answers[0], "", answers[1]]
    assert len(told) == 1
    assert unreadable[1] in told[0]
    assert run.answer([dataclasses.replace(broken, answer="red")]) == [(float("inf"), False)]
    assert (run.summary()["samples"], run.summary()["errors"]) == (2, 2)
    mended = dataclasses.replace(broken, video=requests[0].video)
    assert run.answer([mended]) == [answers[0]]
    assert run.summary()["errors"] == 1


def test_unsupported_method_raises(tiny, monkeypatch):
    from vidfold.models import LlavaOnevision

    monkeypatch.setattr(LlavaOnevision, "gives", frozenset())
    with pytest.raises(ValueError, match=r"cannot give VideoTokens\.deep"):
        evaluator(tiny, method="aot-paper")


def test_llava_video(llava_video, clips):
    path, questions = clips[0]
    request = Request("task", "test", 0, questions[0].text, lambda: path, generation={"max_new_tokens": 2})
    run = evaluator(llava_video, method="aot", retention=0.1, frames=64, template="own")
    run.answer([request, dataclasses.replace(request, answer="red", generation={})])
    for record in run.records:
        assert record["frames"] == 4  # one a second
        assert (record["tokens"]["before"], record["tokens"]["after"]) == (4 * 169, 68)
    assert run.summary()["sampling"]["force_sample"] is False
    forced = evaluator(llava_video, method="none", frames=6, force_sample=True, template="own")
    forced.answer([request])
    assert forced.summary()["tokens"]["before"] == 6 * 169


@pytest.mark.parametrize(
    ("published", "asked", "forced"),
    [(True, None, False), (True, True, True), (False, None, True), (False, False, False)],
)
def test_one_frame_a_second_for_llava_video_alone(tiny, llava_video, published, asked, forced):
    run = evaluator(llava_video if published else tiny, method="none", force_sample=asked)
    assert run.summary()["sampling"]["force_sample"] is forced


def test_generation_settings_equal_lmms_eval():
    greedy = {"max_new_tokens": 16, "num_beams": 1, "do_sample": False}
    assert generation(greedy | {"temperature": 0, "top_p": 1.0, "until": ["\n\n"]}) == greedy
    assert generation({}) == greedy | {"max_new_tokens": 1024}
    drawn = generation({"temperature": 0.7, "top_p": None, "max_new_tokens": 4})
    assert drawn == {"max_new_tokens": 4, "num_beams": 1, "do_sample": True, "temperature": 0.7}
