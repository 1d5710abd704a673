"""Sampling gives the same frames as decoding everything; every bad file gets a clear error."""

import io
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from vidfold.video import Frames, available, sample, write

FRAMES = 40


def film(
    path: Path,
    frames: int = FRAMES,
    *,
    size: tuple[int, int] = (64, 48),
    gop: int = 12,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: int = 25,
    times: list[int] | None = None,
    rotation: int = 0,
    sound: bool = False,
    **options: str,
) -> Path:
    """A file whose frames all differ: a moving block, a brightening background. ``times`` are in milliseconds."""
    settings = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=settings) as container:
        # Without cpu-independent, x264 may encode the same small pictures slightly differently each time.
        settings = {"g": str(gop), "x264-params": "cpu-independent=1"} | options
        stream = container.add_stream(codec, rate=rate, options=settings)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            if not hasattr(stream, "set_display_rotation"):
                pytest.skip("PyAV before 17.1 writes no display matrix")
            stream.set_display_rotation(rotation)
        if sound:
            audio = container.add_stream("aac", rate=44100)
        for index in range(frames):
            picture = av.VideoFrame.from_ndarray(painting(index, size), format="rgb24")
            if times is not None:
                picture.pts, picture.time_base = times[index], Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
        if sound:
            for index in range(44100 * frames // rate // 1024):
                container.mux(audio.encode(silence(index)))
            container.mux(audio.encode())
    return path


def painting(index: int, size: tuple[int, int]) -> np.ndarray:
    width, height = size
    image = np.full((height, width, 3), (index * 3 % 128, 40, 90), np.uint8)
    x, y = index * 3 % (width - 8), index * 5 % (height - 8)
    image[y : y + 8, x : x + 8] = 250
    image[: height // 4, : width // 4] = (200, 30, 30)
    return image


def silence(index: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
    frame.sample_rate, frame.pts = 44100, index * 1024
    return frame


def everything(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """All decoded frames of a file, and their times in seconds."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return np.stack([frame.to_ndarray(format="rgb24") for frame in frames]), np.array([frame.time for frame in frames])


@pytest.mark.parametrize("gop", [1, 7, 250])
@pytest.mark.parametrize("bframes", ["0", "3"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_equals_decoding_everything(tmp_path, gop, bframes, suffix):
    path = film(tmp_path / f"clip{suffix}", gop=gop, bf=bframes)
    pixels, times = everything(path)
    for wanted in (1, 2, 5, 20, FRAMES):
        result = sample(path, wanted)
        index = np.arange(wanted) * (FRAMES - 1) // max(wanted - 1, 1)
        np.testing.assert_array_equal(result.pixels, pixels[index])
        np.testing.assert_allclose(result.timestamps, times[index] - times[0], atol=1e-9)
        assert len(result) == wanted
        assert result.decoded <= FRAMES
        assert (result.fps, result.total) == (25, FRAMES)
        assert result.duration == pytest.approx(FRAMES / 25)


@pytest.mark.parametrize(
    ("suffix", "codec", "options"),
    [
        (".webm", "libvpx-vp9", {"deadline": "realtime"}),
        (".avi", "mpeg4", {"bf": "2"}),
        (".mov", "libx264", {}),
        (".mp4", "libx264", {"x264-params": "open-gop=1:bframes=3"}),
        (".ts", "mpeg2video", {"bf": "2"}),
    ],
)
def test_containers_and_codecs(tmp_path, suffix, codec, options):
    path = film(tmp_path / f"clip{suffix}", codec=codec, **options)
    pixels, _ = everything(path)
    for wanted in (4, 13, len(pixels)):
        index = np.arange(wanted) * (len(pixels) - 1) // (wanted - 1)
        np.testing.assert_array_equal(sample(path, wanted).pixels, pixels[index])


def test_audio_stream_is_ignored(tmp_path):
    path = film(tmp_path / "clip.mp4", sound=True)
    pixels, _ = everything(path)
    np.testing.assert_array_equal(sample(path, 4).pixels, pixels[[0, 13, 26, 39]])


def test_recording_that_begins_midway(tmp_path):
    path = film(tmp_path / "clip.ts", gop=10)
    packets = path.read_bytes()
    path.write_bytes(packets[len(packets) // 188 // 5 * 188 :])
    pixels, times = everything(path)
    result = sample(path, 7)
    assert 20 < len(pixels) < FRAMES
    np.testing.assert_array_equal(result.pixels, pixels[np.arange(7) * (len(pixels) - 1) // 6])
    assert result.timestamps[-1] == pytest.approx(times[-1] - times[0])


def test_variable_frame_rate_is_even_in_time(tmp_path):
    steps = [40, 40, 40, 400, 33, 33, 700, 21, 90] * 5
    times = np.cumsum([0, *steps]).tolist()
    path = film(tmp_path / "clip.mkv", len(times), times=times, gop=9)
    pixels, seconds = everything(path)
    for wanted in (2, 9, 30):
        result = sample(path, wanted)
        grid = np.linspace(0, times[-1] / 1000, wanted)
        index = np.searchsorted(seconds, grid + 0.001, side="right") - 1
        np.testing.assert_array_equal(result.pixels, pixels[index])
        np.testing.assert_allclose(result.timestamps, seconds[index])


def test_sampling_a_long_file_seeks(tmp_path):
    hours = 4
    path = tmp_path / "long.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1, options={"g": "60", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for index in range(hours * 3600):
            planes = np.full((48, 32), 128, np.uint8)
            planes[:32] = 30 + index // 80  # brightness encodes the time
            picture = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            picture.pts = index
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    result = sample(path, 16)
    assert result.duration == hours * 3600
    assert result.decoded <= 16 * 62
    expected = np.linspace(0, hours * 3600 - 1, 16, dtype=int)
    np.testing.assert_array_equal(result.timestamps, expected)
    brightness = result.pixels[:, 8, 8].mean(-1)
    np.testing.assert_allclose(brightness, (30 + expected // 80 - 16) * 255 / 219, atol=2)


def test_no_frame_is_decoded_twice(tmp_path):
    path = film(tmp_path / "clip.mp4", 60, gop=60)
    assert sample(path, 30).decoded <= 60


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotation_is_applied(tmp_path, rotation):
    upright = film(tmp_path / "upright.mp4")
    turned = film(tmp_path / "turned.mp4", rotation=rotation)
    with av.open(str(turned)) as container:
        quarters = next(container.decode(video=0)).rotation // 90
    assert quarters % 4 == rotation // 90 % 4
    for before, after in zip(sample(upright, 3).pixels, sample(turned, 3).pixels, strict=True):
        np.testing.assert_array_equal(after, np.rot90(before, quarters))


def test_mirroring_is_applied(tmp_path):
    path = film(tmp_path / "clip.mp4", rotation=180)
    data = path.read_bytes()
    minus, plus = (-65536).to_bytes(4, "big", signed=True), (65536).to_bytes(4, "big")
    half_turn = minus + bytes(12) + minus
    assert data.count(half_turn) == 1
    path.write_bytes(data.replace(half_turn, minus + bytes(12) + plus))
    upright = film(tmp_path / "upright.mp4")
    np.testing.assert_array_equal(sample(path, 2).pixels, sample(upright, 2).pixels[:, :, ::-1])


@pytest.mark.parametrize("size", [(48, 86), (51, 35), (33, 64)])
def test_portrait_and_odd_sizes(tmp_path, size):
    path = film(tmp_path / "clip.mp4", 5, size=size, pix_fmt="yuv444p")
    result = sample(path, 2)
    assert result.pixels.shape == (2, size[1], size[0], 3)
    assert np.abs(result.pixels[0].astype(int) - painting(0, size)).mean() < 12


@pytest.mark.parametrize("count", [1, 2, 3, FRAMES])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_fewer_frames_than_asked_for_are_all_used(tmp_path, count, suffix):
    path = film(tmp_path / f"clip{suffix}", count)
    result = sample(path, 100)
    np.testing.assert_array_equal(result.pixels, everything(path)[0])
    assert (result.total, available(path, 100)) == (count, count)
    assert result.notes == (f"100 frames were asked for, and the video has {count}: all of them are used",)
    assert sample(path, count).notes == ()


def test_one_frame_is_the_first(tmp_path):
    assert sample(film(tmp_path / "clip.mp4"), 1).timestamps.tolist() == [0]


@pytest.mark.parametrize("frames", [0, -3, 2.5, True, "8"])
def test_frames_must_be_a_count(tmp_path, frames):
    with pytest.raises(ValueError, match="frames must be a whole number of at least 1"):
        sample(tmp_path / "clip.mp4", frames)


def test_progress_callback(tmp_path):
    heard = []
    sample(film(tmp_path / "clip.mp4"), 4, progress=lambda done, total: heard.append((done, total)))
    assert heard == [(1, 4), (2, 4), (3, 4), (4, 4)]


def picture(kind: str) -> bytes:
    memory = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(memory, kind)
    return memory.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.mp4", b"", "is empty"),
        ("noise.mp4", bytes(range(256)) * 20, "cannot be read as a video"),
        ("words.mp4", b"once upon a time " * 90, "cannot be read as a video"),
        ("words.txt", b"once upon a time " * 90, "is a text file"),
        ("red.png", picture("png"), "is a still image"),
        ("red.jpg", picture("jpeg"), "is a still image"),
        ("red.gif", picture("gif"), "is a still image"),
        ("red.webp", picture("webp"), "is a still image"),
    ],
)
def test_files_that_are_not_videos(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}' {message}"):
        sample(path, 8)


def test_metadata_that_is_not_utf8(tmp_path):
    path = film(tmp_path / "clip.mkv")
    data = path.read_bytes()
    assert b"Lavf" in data
    path.write_bytes(data.replace(b"Lavf", b"L\xefvf"))
    assert len(sample(path, 2)) == 2


def test_file_name_that_looks_like_a_protocol(tmp_path, monkeypatch):
    film(tmp_path / "clip.mp4").rename(tmp_path / "12:30.mp4")
    monkeypatch.chdir(tmp_path)
    assert len(sample("12:30.mp4", 2)) == 2


def test_missing_folder_and_device(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.mp4' does not exist"):
        sample(tmp_path / "nowhere.mp4", 8)
    with pytest.raises(ValueError, match="is a folder"):
        sample(tmp_path, 8)
    with pytest.raises(ValueError, match="'/dev/null' is not a regular file"):
        sample("/dev/null", 8)


def test_audio_only(tmp_path):
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        for index in range(20):
            container.mux(stream.encode(silence(index)))
        container.mux(stream.encode())
    with pytest.raises(ValueError, match=r"song\.m4a' has no video stream, it has audio"):
        sample(path, 8)


def test_a_file_cut_short_is_an_error_from_a_tenth_on(tmp_path):
    path = film(tmp_path / "clip.mp4")
    data = path.read_bytes()
    cut = tmp_path / "cut.mp4"
    counts = []
    for share in (0.85, 0.7):
        cut.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(ValueError, match=r"cut\.mp4' is .*cut short.* only \d+ of the 8 frames") as error:
            sample(cut, 8)
        counts.append(int(str(error.value).split(" of the 8")[0].split()[-1]))
    assert 0 < counts[1] < counts[0] < 8
    for length in (20, len(data) // 10, len(data) // 2):
        cut.write_bytes(data[:length])
        with pytest.raises(ValueError, match="cut short"):
            sample(cut, 8)


def test_the_frames_that_are_there_are_used_where_the_last_are_missing(tmp_path):
    path = film(tmp_path / "clip.mp4")
    pixels, _ = everything(path)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(path.read_bytes()[:-40])
    result = sample(cut, 8)
    assert FRAMES - 8 < result.total < FRAMES
    np.testing.assert_array_equal(result.pixels, pixels[np.arange(8) * (result.total - 1) // 7])
    assert "it is missing or damaged" in " ".join(result.notes) or "of them are shown" in " ".join(result.notes)


def test_file_cut_short_within_its_header(tmp_path):
    path = film(tmp_path / "clip.mp4")
    data = path.read_bytes()
    path.write_bytes(data[: data.find(b"moov") + 400])
    with pytest.raises(ValueError, match=r"clip\.mp4' is damaged or cut short: its header does not name a codec"):
        sample(path, 2)


def test_truncated_mkv(tmp_path):
    path = film(tmp_path / "clip.mkv")
    path.write_bytes(path.read_bytes()[: os.path.getsize(path) // 2])
    with pytest.raises(ValueError, match=r"is damaged or cut short: \d+% of it is missing.* of the 8 frames"):
        sample(path, 8)


def test_sampling_a_written_file_gives_the_same_frames(tmp_path):
    frames = np.stack([painting(index, (96, 96)) for index in range(8)])
    path = tmp_path / "clip.mp4"
    write(path, frames, fps=2, scale=4, hold=12)
    result = sample(path, 8)
    assert result.pixels.shape == (8, 384, 384, 3)
    assert (result.fps, result.duration) == (24, 4)
    small = result.pixels.reshape(8, 96, 4, 96, 4, 3).mean((2, 4))
    assert np.abs(small - frames).mean() < 1.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": np.zeros((2, 8, 8), np.uint8)}, r"must be \(F, H, W, 3\) uint8"),
        ({"frames": np.zeros((2, 8, 8, 3), np.float32)}, r"must be \(F, H, W, 3\) uint8"),
        ({"frames": np.zeros((2, 9, 8, 3), np.uint8)}, "even height and width, got 9 x 8"),
        ({"fps": 0.0}, "fps must be positive"),
        ({"scale": 0}, "scale must be a whole number"),
        ({"hold": 1.5}, "hold must be a whole number"),
        ({"path": "clip.avi"}, "must end in .mp4"),
        ({"path": "nowhere/clip.mp4"}, "does not exist"),
    ],
)
def test_write_rejects_bad_arguments(tmp_path, change, message):
    given = {"path": "clip.mp4", "frames": np.zeros((2, 8, 8, 3), np.uint8)} | change
    given["path"] = tmp_path / given["path"]
    with pytest.raises(ValueError, match=message):
        write(**given)


def test_metadata_of_a_processor_gives_each_frame_its_own_time():
    pixels = np.zeros((2, 4, 6, 3), np.uint8)
    metadata = Frames(pixels, np.array([0.0, 0.25]), duration=2.0, fps=10.0, total=20, decoded=2).metadata
    assert metadata.pop("frames_indices") == [0.0, 2.5]
    assert metadata == {"total_num_frames": 20, "fps": 10.0, "duration": 2.0, "width": 6, "height": 4}


def test_frames_show_no_pixels(tmp_path):
    frames = sample(film(tmp_path / "film.mp4"), 4)
    assert repr(frames) == "Frames(4 frames of 64 x 48, 0.00 to 1.56 s of 1.60 s, 25 a second)"
