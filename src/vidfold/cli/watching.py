"""A long file as a stream: read frame by frame in bounded memory, and kept where that is interrupted."""

import argparse
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidfold.app.progress import Progress, say
from vidfold.app.tables import amount, duration
from vidfold.cli.options import load_model, reducer

if TYPE_CHECKING:
    from vidfold.app.loading import VideoModel
    from vidfold.reading import Stream


def watched(options: argparse.Namespace) -> "tuple[Stream, VideoModel, list[tuple[str, str]]]":
    """The whole file that the options name, pushed to a stream; the model; and what there is to tell of it."""
    from vidfold.folding import fold

    method, kept = reducer(options), Path(options.video).name + ".watched"
    loaded = load_model(options)
    with fold(loaded.model, method) as folded:
        stream = folded.stream(loaded.processor, max_tokens=options.max_tokens)
    about, start = _about(options), time.perf_counter()
    if Path(kept).exists():
        if stream.restore(kept) != about:
            raise ValueError(f"{kept!r} keeps another file or rate: remove it to begin anew")
        say(f"going on from {kept} after {stream.seconds:.1f} s of the video\n")
    try:
        _follow(stream, options)
    except KeyboardInterrupt:
        if stream.spans:
            size = stream.save(kept, **about)
            say(f"\nkept what was read in {kept}, {amount(size, 'B')}: the same command goes on from there\n")
        raise
    Path(kept).unlink(missing_ok=True)
    state = stream.state()
    return (
        stream,
        loaded,
        [
            ("video", f"{options.video}, {state.frames} frames at {options.fps:g} a second"),
            ("tokens", f"{state.tokens}, at most {state.max_tokens}, in {len(state.spans)} spans"),
            ("memory", f"{amount(state.nbytes, 'B')}, at most {amount(state.max_nbytes, 'B')}"),
            ("watched in", duration(1000 * (time.perf_counter() - start))),
        ],
    )


def _follow(stream: "Stream", options: argparse.Namespace) -> None:
    """Push what the stream does not have yet."""
    from vidfold.video import follow

    progress = Progress("watching frame", tells_time=True)
    after = stream.seconds if stream.frames else None
    with closing(follow(options.video, options.fps, after=after)) as moments:
        for moment in moments:
            stream.push(moment.pixels, [moment.seconds])
            progress(moment.number + 1, moment.total)


def _about(options: argparse.Namespace) -> dict[str, Any]:
    """What tells a file and a rate from others."""
    path = Path(options.video)
    found = path.stat() if path.exists() else None
    return {"fps": options.fps, "size": found and found.st_size, "changed": found and found.st_mtime_ns}
