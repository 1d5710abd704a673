"""Faults that real files have, each in a small file: what is shown is sampled, or the message says what is wrong."""

import os
import random
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from urllib.request import pathname2url

import av
import numpy as np
import pytest
from PIL import Image

from tests.video.test_matrix import FILMS, SIZE, Film, check, everything, picture
from vidfold.video import available, sample


def copied(source, target, keep, *, shift=0.0):
    """The packets of a file for which ``keep(seconds)`` holds, in another file, ``shift`` seconds earlier."""
    with av.open(str(source)) as read, av.open(str(target), "w") as box:
        stream = read.streams.video[0]
        copy = box.add_stream_from_template(stream)
        for packet in read.demux(stream):
            if not packet.size or not keep(float(packet.dts * stream.time_base)):
                continue
            ticks = round(shift / stream.time_base)
            packet.pts, packet.dts, packet.stream = packet.pts - ticks, packet.dts - ticks, copy
            box.mux(packet)
    return target


def written(path, **options):
    Film(path.suffix, **options).write(path)
    return path


@pytest.mark.parametrize("bframes", ["0", "3"])
def test_cut_without_encoding(tmp_path, bframes):
    path = written(tmp_path / "long.mp4", times=list(range(0, 4000, 40)), options={"g": "60", "bf": bframes})
    cut = copied(path, tmp_path / "cut.mp4", lambda time: time < 2.8, shift=1.5)
    pixels, seconds = everything(cut)
    assert 20 < len(pixels) < 40
    check(cut, pixels, seconds)
    assert sample(cut, 60).notes == (
        f"60 frames were asked for, and the video has {len(pixels)}: all of them are used",
    )


def two_tracks(path):
    with av.open(str(path), "w") as box:
        small = box.add_stream("mjpeg", rate=25)
        small.width, small.height, small.pix_fmt = 32, 32, "yuvj420p"
        video = box.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        small.disposition, video.disposition = 0, av.stream.Disposition.default.value
        red = np.full((32, 32, 3), (255, 0, 0), np.uint8)
        box.mux(small.encode(av.VideoFrame.from_ndarray(red, format="rgb24")))
        for number in range(30):
            box.mux(video.encode(picture(number)))
        box.mux(small.encode())
        box.mux(video.encode())
    return path


@pytest.mark.parametrize("suffix", [".mov", ".mp4", ".mkv", ".avi"])
def test_a_thumbnail_before_the_video(tmp_path, suffix):
    path = two_tracks(tmp_path / f"clip{suffix}")
    check(path, *everything(path, 1))
    assert available(path, 8, stream=1) == 8
    thumbnail = sample(path, 8, stream=0)
    assert thumbnail.pixels.shape == (1, 32, 32, 3)
    with pytest.raises(ValueError, match=r"no video stream 2; its .*: 0 \(mjpeg, 32 x 32\), 1 \(h264, 64 x 48"):
        sample(path, 8, stream=2)


def test_cover_art_is_no_video(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as box:
        cover = box.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic.value
        voice = box.add_stream("aac", rate=16000)
        box.mux(cover.encode(av.VideoFrame(32, 32, "yuvj420p")))
        box.mux(cover.encode())
        for number in range(20):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            silence.sample_rate, silence.pts = 16000, number * 1024
            box.mux(voice.encode(silence))
        box.mux(voice.encode())
    with pytest.raises(ValueError, match="has no video stream, it has audio"):
        sample(path, 2)


@pytest.mark.parametrize("start", [0, 100_000])
def test_joined_recordings_are_read_whole(tmp_path, start):
    first = written(tmp_path / "first.ts", start=start)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + written(tmp_path / "second.ts").read_bytes())
    frames = sample(joined, 1000)
    pixels, _ = everything(joined)
    np.testing.assert_array_equal(frames.pixels, pixels)
    assert len(frames) == 60
    assert (np.diff(frames.timestamps) > 0).all()
    assert frames.duration == pytest.approx(2.4, abs=0.1)
    np.testing.assert_array_equal(sample(joined, 7).pixels, pixels[np.arange(7) * 59 // 6])


def test_recording_that_begins_midway_and_loses_packets(tmp_path):
    path = written(tmp_path / "clip.ts", options={"g": "6"})
    packets = np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, 188)
    path.write_bytes(packets[len(packets) // 4 :].tobytes())
    check(path, *everything(path))
    keep = np.random.default_rng(0).random(len(packets)) > 0.03
    keep[:4] = True
    path.write_bytes(packets[keep].tobytes())
    pixels, seconds = everything(path)
    frames = sample(path, 1000)
    assert frames.timestamps.tolist() == pytest.approx(seconds.tolist())
    np.testing.assert_array_equal(frames.pixels, pixels)


def test_pixels_that_are_not_square(tmp_path):
    for aspect, size in ((Fraction(4, 3), (85, 48)), (Fraction(1, 2), (64, 96)), (Fraction(101, 100), (64, 48))):
        path = tmp_path / "clip.mp4"
        with av.open(str(path), "w") as box:
            stream = box.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
            stream.codec_context.sample_aspect_ratio = aspect
            box.mux(stream.encode(picture(0)))
            box.mux(stream.encode())
        assert sample(path, 1).pixels.shape == (1, size[1], size[0], 3)


def test_size_that_changes_midway(tmp_path):
    small, large = tmp_path / "small.ts", tmp_path / "large.ts"
    for path, size in ((small, SIZE), (large, (128, 96))):
        with av.open(str(path), "w") as box:
            stream = box.add_stream("mpeg2video", rate=25)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            for number in range(40):
                frame = picture(number).reformat(*size)
                frame.pts = number
                box.mux(stream.encode(frame))
            box.mux(stream.encode())
    path = tmp_path / "both.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    frames = sample(path, 8)
    assert frames.pixels.shape == (8, 48, 64, 3)
    with av.open(str(path)) as box:
        assert frames.total == len(list(box.decode(video=0)))


@pytest.mark.parametrize(
    "times",
    [[0, 1, 2, 8, 9, 9.5, 20, 21], [0, 30, 60], [0, 60, 60.2, 60.4, 60.6, 60.8]],
    ids=["slides", "three", "late"],
)
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_duration_is_that_of_what_is_shown(tmp_path, times, codec):
    path = written(tmp_path / "clip.mp4", codec=codec, times=[round(1000 * time) for time in times])
    frames = sample(path, 100)
    assert frames.timestamps.tolist() == pytest.approx(times)
    assert times[-1] < frames.duration < times[-1] + min(np.diff(times)) + 0.1
    assert frames.total / frames.fps == pytest.approx(frames.duration)


def test_frames_that_occur_again_are_noted(tmp_path):
    path = written(tmp_path / "clip.mkv", times=[0, 1000, 1040, 1080, 1120, 5000])
    frames = sample(path, 5)
    assert len(np.unique(frames.timestamps)) == 3
    assert frames.notes == ("3 of the 5 frames are different: some are shown for long and occur again",)


def test_webp(tmp_path):
    path = tmp_path / "clip.webp"
    images = [Image.new("RGB", SIZE, (20 * number, 40, 90)) for number in range(10)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=[100] * 5 + [300] * 5, lossless=True)
    frames = sample(path, 100)
    assert frames.timestamps.tolist() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.8, 1.1, 1.4, 1.7])
    assert (frames.duration, frames.total) == (2.0, 10)
    np.testing.assert_array_equal(frames.pixels, [np.asarray(image) for image in images])
    assert sample(path, 3).timestamps.tolist() == pytest.approx([0, 0.8, 1.7])
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match=r"clip\.webp' is damaged or cut short"):
        sample(path, 2)


def test_folders_and_numbered_pictures(tmp_path):
    for number in range(8, 13):
        Image.new("RGB", SIZE if number < 12 else (32, 24), (20 * number, 40, 90)).save(tmp_path / f"img_{number}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    for name in (tmp_path, tmp_path / "img_%d.png", f"file://{tmp_path}/img_%d.png"):
        frames = sample(name, 100)
        assert frames.pixels[:, 0, 0, 0].tolist() == [160, 180, 200, 220, 240]
        assert frames.timestamps.tolist() == pytest.approx([0, 0.04, 0.08, 0.12, 0.16])
    assert sample(tmp_path, 2).pixels[:, 0, 0, 0].tolist() == [160, 240]
    with pytest.raises(ValueError, match=r"no file is called as '.*img_%04d\.png' says"):
        sample(tmp_path / "img_%04d.png", 2)
    (tmp_path / "img_9.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"a picture of '.*' cannot be read: 'img_9\.png'"):
        sample(tmp_path, 100)


def test_addresses(tmp_path, monkeypatch):
    fsspec = pytest.importorskip("fsspec")
    path = written(tmp_path / "a clip.mp4")
    pixels = sample(path, 4).pixels
    for address in (f"file://{path}", f"file://localhost{pathname2url(str(path))}"):
        np.testing.assert_array_equal(sample(address, 4).pixels, pixels)
    fsspec.filesystem("memory").pipe("/clip.mp4", path.read_bytes())
    np.testing.assert_array_equal(sample("memory://clip.mp4", 4).pixels, pixels)
    with pytest.raises(ValueError, match=r"'memory://nowhere\.mp4' cannot be read: FileNotFoundError"):
        sample("memory://nowhere.mp4", 4)
    with pytest.raises(ValueError, match=r"'rtsp://camera/1' cannot be read: .*rtsp"):
        available("rtsp://camera/1", 2)
    with pytest.raises(ValueError, match=r"'file://nowhere\.mp4' does not exist"):
        sample("file://nowhere.mp4", 4)
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ValueError, match=r"'https://a\.b/c\.mp4' is an address on the web; .*pip install .*'fsspec"):
        sample("https://a.b/c.mp4", 4)


@pytest.mark.skipif(sys.platform != "linux", reason="only some systems have such names")
def test_name_that_is_not_utf8(tmp_path):
    path = written(tmp_path / "clip.mp4")
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4"))
    path.rename(odd)
    assert len(sample(odd, 4)) == 4
    odd.write_bytes(b"no video" * 99)
    with pytest.raises(ValueError, match=r"caf\\udce9\.mp4' cannot be read as a video"):
        sample(odd, 4)


def test_huge_claimed_size(tmp_path):
    path = tmp_path / "clip.y4m"
    path.write_bytes(b"YUV4MPEG2 W60000 H60000 F25:1 Ip A1:1 C420jpeg\nFRAME\n" + bytes(1000))
    with pytest.raises(ValueError, match=r"60000 x 60000|cannot be read|cut short"):
        sample(path, 2)


DAMAGED = """
import sys
from pathlib import Path
from vidfold.video import sample
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        frames = sample(path, 6)
        assert 1 <= len(frames) <= 6 and (frames.timestamps[1:] >= frames.timestamps[:-1]).all(), path
    except ValueError as error:
        assert path.name in str(error), error
"""


def test_damaged_files_are_read_or_refused(tmp_path):
    """In a process of its own: a crash would end the tests."""
    chance = random.Random(0)
    kinds = ["h264 mp4", "h264 mkv", "h264 ts", "mpeg4 avi", "vp9", "h265 mp4", "flash", "wmv", "gif", "apng"]
    for kind in kinds:
        film = FILMS[kind]
        path = tmp_path / f"whole{film.suffix}"
        film.write(path)
        whole = path.read_bytes()
        path.unlink()
        for number in range(8):
            data = bytearray(whole)
            for _ in range(1 << number):
                data[chance.randrange(len(data))] = chance.randrange(256)
            (tmp_path / f"{kind} {number}{film.suffix}").write_bytes(
                data[: chance.randrange(len(data) // 2, len(data))]
            )
    done = subprocess.run([sys.executable, "-c", DAMAGED, str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
