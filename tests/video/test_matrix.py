"""Files of many codecs and containers, sound and faulty: every sampled frame is the one that decoding everything gives.

The oracle knows nothing of packets: it decodes a file from its start to its end, in order.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vidfold.video import sample

SIZE = 64, 48
MILLI = Fraction(1, 1000)
SUFFIXES = ".mp4", ".mov", ".mkv", ".ts", ".flv", ".avi", ".nut", ".mpg"
HIDDEN = {"auto-alt-ref": "1", "lag-in-frames": "16"}
UNEVEN = np.cumsum([0, *([40, 40, 40, 400, 33, 33, 700, 21, 90] * 3)]).tolist()


def picture(number):
    """Pictures that all differ: a block that moves over a background that brightens."""
    image = np.full((SIZE[1], SIZE[0], 3), (number * 4 % 200, 40, 90), np.uint8)
    x, y = number * 3 % (SIZE[0] - 8), number * 5 % (SIZE[1] - 8)
    image[y : y + 8, x : x + 8] = 250
    return av.VideoFrame.from_ndarray(image, format="rgb24")


@dataclass(frozen=True)
class Film:
    """A file to make: ``times`` of its pictures in milliseconds, or 30 of them at ``rate``."""

    suffix: str
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    rate: int = 25
    times: list[int] | None = None
    start: int = 0
    sound: float = 0.0
    options: dict[str, str] = field(default_factory=dict)
    box: dict[str, str] = field(default_factory=dict)
    format: str | None = None

    def write(self, path: Path) -> None:
        own = {"x264-params": "cpu-independent=1", "x265-params": "log-level=none"}
        with av.open(str(path), "w", format=self.format, options=self.box) as container:
            stream = container.add_stream(self.codec, rate=self.rate, options={"g": "12", **own, **self.options})
            stream.width, stream.height, stream.pix_fmt = *SIZE, self.pix_fmt
            timed = self.times is not None or self.start
            if timed:
                stream.codec_context.time_base = MILLI
            voice = container.add_stream("aac", rate=16000) if self.sound else None
            times = self.times or [round(1000 * number / self.rate) for number in range(30)]
            for number, time in enumerate(times):
                frame = picture(number)
                if timed:
                    frame.pts, frame.time_base = time + self.start, MILLI
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
            if voice is not None:
                for number in range(int(self.sound * 16000 / 1024)):
                    silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
                    silence.sample_rate, silence.pts = 16000, number * 1024 + 16 * self.start
                    container.mux(voice.encode(silence))
                container.mux(voice.encode())


FILMS = {
    **{f"h264 {suffix[1:]}": Film(suffix) for suffix in SUFFIXES},
    **{f"h264 without b frames {suffix[1:]}": Film(suffix, options={"bf": "0"}) for suffix in (".mp4", ".ts", ".avi")},
    **{f"h265 {suffix[1:]}": Film(suffix, "libx265") for suffix in (".mp4", ".mkv", ".ts")},
    "h265 open groups": Film(".mp4", "libx265", options={"x265-params": "log-level=none:open-gop=1:keyint=10"}),
    "h264 open groups": Film(".mkv", options={"x264-params": "open-gop=1:bframes=3:cpu-independent=1"}),
    "h264 intra refresh": Film(".mp4", options={"x264-params": "intra-refresh=1:keyint=8:cpu-independent=1"}),
    "h264 4:4:4": Film(".mkv", pix_fmt="yuv444p"),
    "h264 ten bits": Film(".mp4", pix_fmt="yuv420p10le"),
    "h264 of 60 a second": Film(".mkv", rate=60),
    "vp8": Film(".webm", "libvpx", options={"deadline": "realtime"}),
    "vp8 with hidden frames": Film(".webm", "libvpx", options={**HIDDEN, "arnr-maxframes": "5"}),
    "vp9": Film(".webm", "libvpx-vp9", options={"deadline": "realtime"}),
    "vp9 with hidden frames": Film(".webm", "libvpx-vp9", options={**HIDDEN, "cpu-used": "8"}),
    "vp9 mp4": Film(".mp4", "libvpx-vp9", options={"deadline": "realtime"}),
    **{f"mpeg4 {suffix[1:]}": Film(suffix, "mpeg4", options={"bf": "2"}) for suffix in (".mp4", ".avi", ".mkv")},
    **{f"mpeg2 {suffix[1:]}": Film(suffix, "mpeg2video", options={"bf": "2"}) for suffix in (".ts", ".mpg", ".mkv")},
    "mpeg2 interlaced": Film(".ts", "mpeg2video", options={"flags": "+ildct+ilme"}),
    "mpeg1": Film(".mpg", "mpeg1video"),
    "wmv": Film(".wmv", "wmv2"),
    "flash": Film(".flv", "flv"),
    "motion jpeg avi": Film(".avi", "mjpeg", "yuvj420p"),
    "motion jpeg mov": Film(".mov", "mjpeg", "yuvj420p"),
    "prores": Film(".mov", "prores_ks", "yuv422p10le"),
    "ffv1": Film(".mkv", "ffv1"),
    "huffyuv": Film(".avi", "huffyuv", "yuv422p"),
    "gif": Film(".gif", "gif", "rgb8", rate=10),
    "apng": Film(".apng", "apng", "rgb24", format="apng"),
    "apng called png": Film(".png", "apng", "rgb24", format="apng"),
    "ivf": Film(".ivf", "libvpx"),
    "y4m": Film(".y4m", "wrapped_avframe"),
    "raw h264": Film(".h264"),
    "raw h265": Film(".hevc", "libx265"),
    "raw mpeg2": Film(".m2v", "mpeg2video", options={"bf": "2"}, format="mpeg2video"),
    "raw mpeg4": Film(".m4v", "mpeg4", options={"bf": "2"}, format="m4v"),
    "raw motion jpeg": Film(".mjpeg", "mjpeg", "yuvj420p", format="mjpeg"),
    "fragmented": Film(".mp4", box={"movflags": "frag_keyframe+empty_moov"}),
    "dash": Film(".mp4", box={"movflags": "dash+frag_keyframe+empty_moov+default_base_moof"}),
    "live matroska": Film(".mkv", box={"live": "1"}),
    "index first": Film(".mp4", box={"movflags": "faststart"}),
    **{f"starts at 10 s {suffix[1:]}": Film(suffix, start=10_000) for suffix in (".mp4", ".mkv", ".ts", ".flv")},
    "starts at 10 s webm": Film(".webm", "libvpx", start=10_000),
    "wraps around": Film(".ts", start=95_443_000),
    **{f"uneven {suffix[1:]}": Film(suffix, times=UNEVEN) for suffix in (".mp4", ".mkv", ".ts", ".flv", ".mov")},
    "uneven vp9": Film(".webm", "libvpx-vp9", times=UNEVEN, options={"deadline": "realtime"}),
    "uneven without b frames": Film(".mp4", times=UNEVEN, options={"bf": "0"}),
    "repeated frames": Film(".avi", "mpeg4", times=[0, 40, 80, 200, 240, 400, 440, 480], options={"g": "4"}),
    **{f"slides {suffix[1:]}": Film(suffix, times=[0, 3000, 6000], sound=12) for suffix in (".mkv", ".ts", ".mp4")},
    "one picture under sound": Film(".mkv", times=[0], sound=5),
    "sound that lasts longer": Film(".mkv", sound=1.5),
    "two frames": Film(".mp4", times=[0, 40]),
    "three frames": Film(".mkv", times=[0, 40, 80]),
}  # fmt: skip


@pytest.fixture(scope="session")
def films(tmp_path_factory):
    """Makes each file once."""
    folder, made = tmp_path_factory.mktemp("films"), {}

    def film(name):
        if name not in made:
            made[name] = folder / f"{len(made)}{FILMS[name].suffix}"
            FILMS[name].write(made[name])
        return made[name]

    return film


def everything(path, stream=0):
    """All frames of a file in order, and their times in seconds from the first; by the rate where there are none."""
    with av.open(str(path)) as container:
        video = container.streams.video[stream]
        frames = list(container.decode(video))
        times = [frame.pts for frame in frames]
        if None in times or (np.diff(times) <= 0).any():
            times = [frame.dts for frame in frames]
        if None in times:
            times = [number / (video.guessed_rate * video.time_base) for number in range(len(frames))]
        seconds = np.array([float((time - times[0]) * video.time_base) for time in times])
    return np.stack([frame.to_ndarray(format="rgb24") for frame in frames]), seconds


def check(path, pixels, seconds, counts=(1, 2, 5, 12, 1000)):
    """Every sampled frame is the one shown last at its even time, and has its own time."""
    even = len(seconds) < 3 or np.ptp(np.diff(seconds)) < 0.0011
    for wanted in counts:
        frames = sample(path, wanted)
        index = np.arange(len(seconds))
        if wanted < len(seconds) and even:
            index = np.linspace(0, len(seconds) - 1, wanted).astype(int)
        elif wanted < len(seconds):
            times = np.linspace(0, seconds[-1], wanted) + 0.0011
            index = np.searchsorted(seconds, times, side="right") - 1
        np.testing.assert_allclose(frames.timestamps, seconds[index], atol=1e-6)
        np.testing.assert_array_equal(frames.pixels, pixels[index])
        assert frames.total == len(seconds)
        assert frames.total / frames.fps == pytest.approx(frames.duration)
        assert frames.duration > seconds[-1]


@pytest.mark.parametrize("name", FILMS)
def test_equals_decoding_everything(films, name):
    check(films(name), *everything(films(name)))
