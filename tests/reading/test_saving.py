"""Videos written to files and opened again."""

import copy
import json
import resource
import struct

import pytest
import safetensors.torch
import torch

import vidfold
from tests.models.matrix import FULL, greedy
from tests.reading.test_families_reading import read
from vidfold import AOT, fold, tiny
from vidfold.reading.container import KEY

CLIP = tiny.render(seed=1_000_000_004)
QUESTION = "which big color appears last?"


@pytest.fixture(scope="module")
def video(tiny):
    return vidfold.read(tiny.model, tiny.processor, CLIP.frames, AOT(retention=0.2), fps=2)


@pytest.fixture
def saved(video, tmp_path):
    path = tmp_path / "clip.vidfold"
    video.save(path, cache=True)
    return path


@pytest.mark.parametrize("cache", [False, True])
def test_an_opened_video_answers_as_before(case, model, tmp_path, cache):
    _, question, _, video = read(case, model)
    size = video.save(tmp_path / "clip.vidfold", cache=cache)
    assert size == (tmp_path / "clip.vidfold").stat().st_size
    opened = vidfold.open_video(tmp_path / "clip.vidfold", model)
    expected, answer = (each.generate(question, **greedy(case), **FULL) for each in (video, opened))
    assert torch.equal(answer.sequences, expected.sequences)
    for ours, theirs in zip(answer.logits, expected.logits, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    assert (opened.before, opened.tokens, opened.method) == (video.before, video.tokens, video.method)


def test_nothing_is_encoded_and_with_a_cache_nothing_read(tiny, video, tmp_path):
    read = []
    hooks = [
        part.register_forward_hook(lambda *_, kind=kind: read.append(kind))
        for kind, part in (("tower", tiny.model.base_model.vision_tower), ("decoder", tiny.model.get_decoder()))
    ]
    try:
        for cache, expected in ((True, []), (False, ["decoder"])):
            video.save(tmp_path / "clip.vidfold", cache=cache)
            read.clear()
            opened = vidfold.open_video(tmp_path / "clip.vidfold", tiny.model, tiny.processor)
            assert read == expected
            assert opened.ask(QUESTION) == video.ask(QUESTION)
            assert opened.times == video.times == tuple(number / 2 for number in range(8))
    finally:
        for hook in hooks:
            hook.remove()


def test_the_source_is_noted_and_checked(tiny, video, tmp_path):
    source = tmp_path / "clip.mp4"
    source.write_bytes(b"a video")
    video.save(tmp_path / "a.vidfold", source=source)
    opened = vidfold.open_video(tmp_path / "a.vidfold", tiny.model, source=source)
    assert opened.source["name"] == str(source)
    opened.save(tmp_path / "b.vidfold")
    source.write_bytes(b"another video")
    with pytest.raises(ValueError, match="made of another file"):
        vidfold.open_video(tmp_path / "b.vidfold", tiny.model, source=source)


def changed(path, change):
    """Write the file again with a changed record or changed tensors."""
    with safetensors.safe_open(path, framework="pt") as file:
        record = json.loads(file.metadata()[KEY])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(record, tensors)
    safetensors.torch.save_file(tensors, path, metadata={KEY: json.dumps(record)})


def put(where, name, value):
    where[name] = value


CHANGES = {
    "has format 2, not 1": lambda record, _: put(record, "format", 2),
    "was written with transformers 4.1": lambda record, _: put(record["versions"], "transformers", "4.1"),
    "was read by a qwen2_vl": lambda record, _: put(record, "family", "qwen2_vl"),
    "with other weights": lambda record, _: put(record, "weights", "0" * 64),
    "its said is None": lambda record, _: record.pop("said"),
    "a video of": lambda record, _: put(record, "videos", [[6, 6, -5]]),
    "it has no video": lambda record, _: put(record, "videos", []),
    "1000000008 tokens of 6 x 6": lambda record, _: put(record, "videos", [[6, 6, 1_000_000_008]]),
    "has no video.0.tokens": lambda _, tensors: tensors.pop("video.0.tokens"),
    r"tokens of .* must be \(any, 192\)": lambda _, tensors: put(tensors, "video.0.tokens", torch.ones(3, 5)),
    r"keys of .* must be": lambda _, tensors: put(tensors, "cache.1.keys", torch.ones(1, 6, 9, 32)),
    "a cache of other layers": lambda _, tensors: put(tensors, "cache.9.keys", torch.ones(1)),
    "its content is not": lambda _, tensors: put(tensors, "video.0.tokens", tensors["video.0.tokens"] + 1),
}


@pytest.mark.parametrize("message", CHANGES)
def test_a_changed_file_is_refused_before_anything_is_loaded(tiny, saved, message, monkeypatch):
    changed(saved, CHANGES[message])
    if "content" not in message:
        monkeypatch.setattr("vidfold.reading.container.Container.load", lambda _: pytest.fail("loaded"))
    with pytest.raises(ValueError, match=message):
        vidfold.open_video(saved, tiny.model)


def test_files_that_are_no_saved_videos(tiny, saved, tmp_path):
    content = saved.read_bytes()
    for damaged in (
        content[:-1],
        content[:100],
        b"",
        b"not a video",
        struct.pack("<Q", 2**60) + content[8:],
        content.replace(b'"vidfold":', b'"another":'),
    ):
        saved.write_bytes(damaged)
        with pytest.raises(ValueError, match="cut short, damaged, or no saved video"):
            vidfold.open_video(saved, tiny.model)
    with pytest.raises(ValueError, match="is not there"):
        vidfold.open_video(tmp_path / "none.vidfold", tiny.model)


def test_other_models_are_refused(tiny, saved):
    model = copy.deepcopy(tiny.model)
    with pytest.raises(ValueError, match="with other weights"):
        vidfold.open_video(saved, model.bfloat16())
    model = model.float()
    with torch.no_grad():
        model.get_decoder().layers[1].mlp.up_proj.weight.mul_(1.01)
    with pytest.raises(ValueError, match="with other weights"):
        vidfold.open_video(saved, model)


def test_a_full_disk_leaves_the_old_file(video, saved):
    before, (soft, hard) = saved.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match=r"cannot write '.*clip.vidfold'.*too large"):
            video.save(saved)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert saved.read_bytes() == before
    assert [each.name for each in saved.parent.iterdir()] == [saved.name]
    with pytest.raises(ValueError, match="is not there: make it first"):
        video.save(saved.parent / "none" / "clip.vidfold")


def test_images_beside_the_video_are_not_saved(tmp_path):
    from tests.models import llava_onevision_model as case

    model = case.build()
    inputs = case.inputs(model, prompts=(2,), frames=((2,),), images=(1,))
    with fold(model, AOT(retention=0.5)) as folded:
        video = folded.read(**inputs)
    with pytest.raises(ValueError, match="holds images"):
        video.save(tmp_path / "clip.vidfold")
