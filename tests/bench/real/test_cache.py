import errno

import pytest
import torch

from vidfold.bench.real import cache
from vidfold.bench.real.tower import Tower


@pytest.fixture(scope="module")
def tower(clip_folder):
    return Tower.load(clip_folder)


def test_a_video_is_encoded_once(tower, videos, tmp_path, monkeypatch):
    first = cache.encoded(tower, videos / "0.mp4", 4, tmp_path)
    monkeypatch.setattr(Tower, "__call__", lambda *_: pytest.fail("encoded again"))
    again = cache.encoded(tower, videos / "0.mp4", 4, tmp_path)
    assert torch.equal(first.tokens.features, again.tokens.features)
    assert torch.equal(first.views, again.views)
    assert again.tokens.grid == (4, 4)


def test_what_is_saved_is_what_the_tower_gives(tower, videos, tmp_path):
    video = videos / "0.mp4"
    fresh, saved = cache._encode(tower, video, 4), cache.encoded(tower, video, 4, tmp_path)
    torch.testing.assert_close(saved.tokens.features, fresh.tokens.features, rtol=1e-3, atol=1e-4)
    assert torch.equal(saved.tokens.deep, fresh.tokens.deep)
    assert torch.equal(saved.tokens.timestamps, fresh.tokens.timestamps)


def test_views_lie_between_frames(tower, videos, tmp_path):
    video = cache.encoded(tower, videos / "0.mp4", 4, tmp_path)
    assert video.moments.tolist() == [0.5, 1.5, 1.5, 2.5]
    assert video.tokens.frames == 4


def test_a_short_video_gives_all_it_has(tower, videos, tmp_path):
    video = cache.encoded(tower, videos / "3.mp4", 4, tmp_path)
    assert video.tokens.frames == 4
    assert video.moments.tolist() == [0, 1, 2, 3]
    assert cache.encoded(tower, videos / "3.mp4", 16, tmp_path).tokens.frames == 5


def test_another_layer_is_not_taken_from_the_cache(tower, clip_folder, videos, tmp_path):
    one = cache.encoded(tower, videos / "0.mp4", 4, tmp_path)
    other = cache.encoded(Tower.load(clip_folder, -1), videos / "0.mp4", 4, tmp_path)
    assert not torch.allclose(one.tokens.features, other.tokens.features)


def test_files_of_another_form_are_encoded_again(tower, videos, tmp_path, monkeypatch):
    cache.encoded(tower, videos / "0.mp4", 4, tmp_path)
    monkeypatch.setattr(cache, "FORM", "another")
    cache.encoded(tower, videos / "0.mp4", 4, tmp_path)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2


def test_a_damaged_file_is_named(tower, videos, tmp_path):
    cache.encoded(tower, videos / "0.mp4", 4, tmp_path)
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"is damaged .* delete it and run again"):
        cache.encoded(tower, videos / "0.mp4", 4, tmp_path)


def test_a_full_disk_keeps_no_half_file(tower, videos, tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"cannot write .*No space left on device"):
        cache.encoded(tower, videos / "0.mp4", 4, tmp_path)
    assert not [each for each in tmp_path.rglob("*") if each.is_file()]
