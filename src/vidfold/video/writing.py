"""Write frames to a video file."""

from fractions import Fraction
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidfold import extras
from vidfold.checks import check_count


def write(
    path: str | PathLike[str], frames: NDArray[np.uint8], *, fps: float = 2.0, scale: int = 1, hold: int = 1
) -> None:
    """Write frames as an h264 mp4 file of high quality.

    Args:
        path: file to write; must end in ``.mp4``.
        frames: (F, H, W, 3) uint8 RGB.
        fps: frames per second.
        scale: side in pixels of the square that each pixel becomes, so that encoding does not blur small pictures.
        hold: how often each frame is repeated; the frame rate of the file is ``fps * hold``.

    Raises:
        ValueError: wrong shape or dtype of frames, odd height or width after scaling, or the folder does not exist.
        MissingExtra: PyAV is not installed.
    """
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
        raise ValueError(f"frames must be (F, H, W, 3) uint8, got {frames.shape} {frames.dtype}")
    scale, hold = check_count("scale", scale), check_count("hold", hold)
    if not 0 < fps < float("inf"):
        raise ValueError(f"fps must be positive, got {fps!r}")
    height, width = frames.shape[1] * scale, frames.shape[2] * scale
    if height % 2 or width % 2:
        raise ValueError(f"h264 needs even height and width, got {height} x {width}; use an even scale")
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"path must end in .mp4, got {str(path)!r}")
    if not path.parent.is_dir():
        raise ValueError(f"folder {str(path.parent)!r} does not exist; create it first")
    av = extras.load("av", "video")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001) * hold)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "10", "preset": "medium"}
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame.repeat(scale, 0).repeat(scale, 1), format="rgb24")
            for _ in range(hold):
                container.mux(stream.encode(picture))
        container.mux(stream.encode())
