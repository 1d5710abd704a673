"""Videos that commands ask about: read from a file of frames, or opened where they were read before."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from vidfold.app.tables import amount, duration
from vidfold.cli.console import announced_if_slow, quiet_libraries
from vidfold.cli.files import decode
from vidfold.cli.options import WATCH, load_model, reducer
from vidfold.cli.watching import watched

if TYPE_CHECKING:
    from vidfold.app.loading import VideoModel
    from vidfold.reading import FoldedVideo
    from vidfold.video import Frames
    from vidfold.video.choosing import Chooser

SUFFIX = ".vidfold"
"""Of files that `vidfold read` writes."""

Facts = list[tuple[str, str]]


def saved(path: str) -> bool:
    """Whether a path is that of a video that was read before."""
    return Path(path).suffix == SUFFIX


def video_of(options: argparse.Namespace) -> "tuple[FoldedVideo, Facts]":
    """The video that the options name, read or opened, and what there is to tell of it."""
    if options.stream == WATCH:
        if saved(options.video):
            raise ValueError(f"{options.video!r} was read already: --stream takes the video itself")
        stream, loaded, facts = watched(options)
        return stream.video(), [*facts, *_told(loaded, stream.video())]
    return _opened(options) if saved(options.video) else _read(options)


def frames_for(options: argparse.Namespace, loaded: "VideoModel", frames: "Frames") -> "tuple[Frames, float | None]":
    """The frames that the model is shown, and the time to decode again: some want fewer, and ``--tokens`` more."""
    from vidfold.models import family
    from vidfold.planning import paid_for
    from vidfold.planning.costs import cells_of

    if options.tokens and options.frames is None:
        frames, again = sampled(
            options, paid_for(options.tokens, cells_of(loaded, frames.pixels.shape[1:3]), frames.total)
        )
        shown = family(loaded.model).shown_frames(frames.duration, len(frames))
        return (frames, again) if shown == len(frames) else sampled(options, shown)
    shown = family(loaded.model).shown_frames(frames.duration, len(frames))
    return (frames, None) if shown == len(frames) else sampled(options, shown)


def sampled(options: argparse.Namespace, frames: int | None = None) -> "tuple[Frames, float]":
    """Frames of the video that the options name, and the time to decode them; ``frames`` replaces their number."""
    from vidfold.app.loading import usual_frames

    if frames is None and options.frames is None and options.tokens:
        return decode(options.video, 1, options.stream)  # how many these pay for is known with the model
    if frames is None:
        frames = usual_frames(options.model or "tiny") if options.frames is None else options.frames
    return decode(options.video, frames, options.stream, _chooser(options))


def _chooser(options: argparse.Namespace) -> "str | Chooser":
    """A way to choose frames by its name, or by a model that compares them with the question."""
    from vidfold.app.relevance import Relevant
    from vidfold.checks import check_known
    from vidfold.video.choosing import WAYS

    choose: str = options.choose
    if "/" not in choose and not Path(choose).exists():
        check_known("unknown way to choose frames", choose, WAYS)
        return choose
    questions = getattr(options, "question", [])
    if len(questions) != 1:
        raise ValueError(f"--choose {choose} needs one question, got {len(questions)}; without one: {', '.join(WAYS)}")
    with quiet_libraries():
        return Relevant.of(choose, questions[0])


def _read(options: argparse.Namespace) -> "tuple[FoldedVideo, Facts]":
    from vidfold.app.reading import read

    method = reducer(options)
    # Decoded before loading, so that a bad video fails early.
    frames, decoding = sampled(options)
    loaded = load_model(options)
    frames, again = frames_for(options, loaded, frames)
    with announced_if_slow("reading"):
        start = time.perf_counter()
        video = read(loaded.model, loaded.processor, frames, method)
        reading = 1000 * (time.perf_counter() - start)
    height, width = frames.pixels.shape[1:3]
    return video, [
        ("video", f"{options.video}, {frames.duration:.1f} s, {len(frames)} frames of {width} x {height}"),
        *[("note", note) for note in frames.notes],
        *_told(loaded, video),
        ("decoded in", duration(again or decoding)),
        ("read in", duration(reading)),
    ]


def _opened(options: argparse.Namespace) -> "tuple[FoldedVideo, Facts]":
    from vidfold.reading import Container, open_video

    record = Container(options.video).record
    options.model = options.model or str(record.get("model") or "tiny")
    options.dtype = options.dtype or record.get("dtype")
    loaded = load_model(options)
    with announced_if_slow("opening"):
        start = time.perf_counter()
        video = open_video(options.video, loaded.model, loaded.processor)
        opening = 1000 * (time.perf_counter() - start)
    return video, [
        ("video", f"{options.video}, {amount(Path(options.video).stat().st_size, 'B')}, no frame decoded"),
        *_told(loaded, video),
        ("opened in", duration(opening)),
    ]


def _told(loaded: "VideoModel", video: "FoldedVideo") -> Facts:
    return [
        ("model", f"{loaded.name} on {loaded.model.device}, loaded in {duration(1000 * loaded.seconds)}"),
        ("method", video.method),
        ("folded", f"{video.before} -> {video.tokens} tokens ({100 * video.tokens / video.before:.1f} %)"),
        ("cache", f"{video.prefix.tokens} positions, {amount(video.prefix.nbytes, 'B')}"),
    ]
