"""Open what a user calls a video: a file or an address, and the stream in it that is shown."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import url2pathname

from vidfold import extras

_MOST_PIXELS = 2**27
"""A frame of more is a damaged header: 16K, the largest size in use, is as many."""


@dataclass(frozen=True)
class Source:
    """A video as the user names it.

    Attributes:
        name: path or address.
        stream: number of the stream in the file; None takes the one that FFmpeg takes as best.
    """

    name: str
    stream: int | None = None

    @property
    def quoted(self) -> str:
        """The name, for messages."""
        return repr(self.name)

    @property
    def path(self) -> Path | None:
        """The local path; None for an address on the web."""
        if self.name.startswith("file://"):
            return Path(url2pathname(self.name.removeprefix("file://").removeprefix("localhost")))
        return None if "://" in self.name else Path(self.name)

    def open(self) -> tuple[Any, Any]:
        """The opened container and its video stream.

        Raises:
            ValueError: what is wrong with the file; there is no such stream, or it is a still image.
            MissingExtra: PyAV is not installed.
        """
        av = extras.load("av", "video")
        target = _address(self.name) if self.path is None else _file(self.path, self.quoted)
        # Tags that are not UTF-8 are accepted; PyAV 19 needs no argument for that.
        tolerant = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
        try:
            container = av.open(target, **tolerant)
        except av.FFmpegError as error:
            raise ValueError(
                f"{self.quoted} cannot be read as a video ({error.strerror}): it is damaged, cut short or not a video"
            ) from error
        try:
            return container, self._video(container, av.stream.Disposition.attached_pic)
        except ValueError:
            container.close()
            raise

    def _video(self, container: Any, cover: Any) -> Any:
        kind, name = container.format.name, self.quoted
        if kind == "tty":  # FFmpeg renders plain text as pictures
            raise ValueError(f"{name} is a text file; give a video file")
        videos = {stream.index: stream for stream in container.streams.video}
        if self.stream is not None and self.stream not in videos:
            there = ", ".join(f"{each} ({_described(stream)})" for each, stream in videos.items()) or "none"
            raise ValueError(f"{name} has no video stream {self.stream}; its video streams: {there}")
        stream = container.streams.best("video") if self.stream is None else videos[self.stream]
        if stream is None or (self.stream is None and stream.disposition & cover):
            held = sorted({each.type for each in container.streams} - {"video"})
            raise ValueError(
                f"{name} has no video stream, it has {' and '.join(held) or 'no stream'}; give a video file"
            )
        if kind.endswith("_pipe") or kind == "image2" or (kind == "gif" and stream.frames == 1):
            raise ValueError(f"{name} is a still image; give a video file, or a folder or pattern of numbered images")
        codec = stream.codec_context
        if codec is None:  # decoding would crash PyAV before 18.1
            raise ValueError(f"{name} is damaged or cut short: its header does not name a codec")
        if codec.width * codec.height > _MOST_PIXELS:
            raise ValueError(f"{name} is damaged: its header claims frames of {codec.width} x {codec.height} pixels")
        stream.thread_type = "AUTO"
        return stream


def _described(stream: Any) -> str:
    codec = stream.codec_context
    return "no codec" if codec is None else f"{codec.name}, {codec.width} x {codec.height}"


def _file(path: Path, name: str) -> Any:
    """What PyAV opens for a local file."""
    if not path.exists():
        raise ValueError(f"{name} does not exist; give the path of a video file")
    if not path.is_file():
        raise ValueError(f"{name} is not a regular file; give the path of a video file")
    if path.stat().st_size == 0:
        raise ValueError(f"{name} is empty (0 bytes); give a video file")
    absolute = str(path.absolute())  # FFmpeg would read a relative "12:30.mp4" as a protocol
    try:
        absolute.encode()
    except UnicodeEncodeError:  # PyAV passes names on as UTF-8
        return path.open("rb")
    return absolute


def _address(address: str) -> Any:
    """A temporary file with what an address holds, loaded once: the index is made of the whole file."""
    try:
        fsspec = importlib.import_module("fsspec")
        return fsspec.open_local(f"simplecache::{address}")
    except ImportError as error:
        raise ValueError(
            f"{address!r} is an address on the web; to read it: {extras.remedy('web')} ({error})"
        ) from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{address!r} cannot be read: {type(error).__name__}: {error}") from error
