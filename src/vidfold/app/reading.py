"""Read a video for questions: from sampled frames to what the language model keeps of it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidfold.app.asking import inputs_of
from vidfold.app.loading import VideoModel
from vidfold.checks import check_positive
from vidfold.folding import Fold, fold
from vidfold.reading import FoldedVideo, Wording
from vidfold.video import Frames


def read(
    model: Any, processor: Any, frames: Frames | NDArray[np.uint8], reducer: Fold, *, fps: float | None = None
) -> FoldedVideo:
    """Read a video once, to ask any number of questions about it.

    Args:
        model: a transformers model of a supported family; the same model must be there to ask.
        processor: of the model.
        frames: of `vidfold.video.sample`, which know their times; or (F, H, W, 3) uint8 RGB.
        reducer: folds the video.
        fps: frames a second of frames that do not know their times; None: 1.

    Returns:
        The video; ``video.ask("...")`` answers.

    Raises:
        ValueError: frames of another form, a model of no supported family, or a video, model and reducer that do not
            fit together.
    """
    if not isinstance(frames, Frames):
        frames = timed(frames, 1.0 if fps is None else fps)
    elif fps is not None:
        raise ValueError(f"fps={fps} came with frames that know their times: give pixels, or no fps")
    loaded = VideoModel(type(model).__name__, model, processor, 0.0)
    inputs = inputs_of(loaded, [Wording(processor).opening], [frames])
    with fold(model, reducer) as folded:
        return folded.read(processor, times=frames.timestamps.tolist(), duration=frames.duration, **inputs)


def timed(pixels: NDArray[np.uint8], fps: float) -> Frames:
    """Pixels (F, H, W, 3) uint8 as frames of a constant rate."""
    check_positive("fps", fps)
    pixels = np.asarray(pixels)
    if pixels.ndim != 4 or pixels.shape[-1] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
        raise ValueError(f"frames must be (frames, height, width, 3) uint8, got {pixels.shape} {pixels.dtype}")
    count = len(pixels)
    return Frames(pixels, np.arange(count) / fps, count / fps, fps, count, 0)
