"""Prompts and frames as a processor makes inputs of them."""

from collections.abc import Sequence
from typing import Any

from vidfold.video import Frames


def processed(
    model: Any,
    processor: Any,
    prompts: Sequence[str],
    videos: Sequence[Frames],
    *,
    name: str | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Prompts and their videos, one each, as the processor makes them, on the model's device in its dtype.

    Args:
        model: the model.
        processor: of the model.
        prompts: with the place of a video.
        videos: one a prompt; all of their frames are used.
        name: of the model, for messages; None: its class.
        settings: of the processor, such as ``padding_side``.

    Raises:
        ValueError: a processor that fails; the message names the model and the reason.
    """
    try:
        inputs = processor(
            text=list(prompts),
            videos=[video.pixels for video in videos],
            video_metadata=[video.metadata for video in videos],
            do_sample_frames=False,
            padding=True,
            return_tensors="pt",
            **settings,
        )
    except Exception as error:  # its settings come with the checkpoint, unchecked
        name = type(model).__name__ if name is None else name
        raise ValueError(f"the processor of model {name!r} fails: {type(error).__name__}: {error}") from error
    return dict(inputs.to(model.device, model.dtype))
