"""Rotary positions with axes of time, height and width (M-RoPE, Qwen2-VL, arXiv:2409.12191) of shortened prompts.

The model numbers the full prompt, and every token keeps its position: one that stands for a cell of a video has the
time, the row and the column of that cell, and text behind the video is where it would have been.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vidfold.models.prompts.shorten import real


def number(model: Any, inputs: Mapping[str, Any]) -> Tensor:
    """Positions of a full prompt ``input_ids`` (B, L), checked by `shorten.check`, as the model itself numbers it.

    Returns:
        (5, B, L) int64: position in the sequence, time, height, width, and the position that follows the prompt.

    Raises:
        ValueError: inputs that do not go with one another.
    """
    text = counted(real(inputs))
    known = {name: inputs.get(name) for name in inspect.signature(model.compute_3d_position_ids).parameters}
    try:
        axes = model.compute_3d_position_ids(**known)
    except (LookupError, RuntimeError, StopIteration, TypeError) as error:
        shapes = {name: each.tolist() for name, each in known.items() if each is not None and name.endswith("grid_thw")}
        raise ValueError(
            f"the model cannot number a prompt with {shapes or 'no grids'} ({error}): make input_ids, "
            "mm_token_type_ids, pixels and grids in one call of the processor, and do not truncate the prompt"
        ) from error
    if axes is None:  # the model takes all tokens for text
        axes = text.expand(3, -1, -1)
    following = axes.amax((0, 2), keepdim=True).add(1).expand(1, *text.shape)
    return torch.cat([text[None], axes, following])


def renumber(positions: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Positions and ``rope_deltas`` of a shortened prompt.

    Args:
        positions: (5, B, M), those of `number` for the tokens kept, 0 at padding.
        real: (B, M) bool, where a token is no padding.

    Returns:
        (4, B, M) int64, the first of them counted anew, since attention tells packed sequences apart by it; and
        (B, 1) int64, the position that follows the prompt minus its length without padding.
    """
    deltas = positions[4].amax(-1, keepdim=True) - real.sum(-1, keepdim=True)
    return torch.cat([counted(real)[None], positions[1:4]]), deltas


def counted(real: Tensor) -> Tensor:
    """Positions (B, L) int64 counted one by one over the tokens (B, L) bool that are no padding."""
    return real.long().cumsum(-1).sub(1).clamp(min=0)
