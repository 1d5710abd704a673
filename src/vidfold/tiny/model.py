"""The folders of the tiny model's weights: a standard LLaVA-OneVision of about two million parameters."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

FOLDERS = {"varied": "weights", "whole": "weights_whole"}
"""Folders of the weights, by what the language model read last in training."""
EMBEDDED: Mapping[str, Literal["varied", "whole"]] = {"tiny": "varied", "tiny-whole": "whole"}
"""Names of the embedded model and its twin -> what their language models read last in training."""


def path(read: Literal["varied", "whole"] = "varied") -> Path:
    """Folder of the shipped weights, for ``AutoProcessor`` and ``LlavaOnevisionForConditionalGeneration``.

    Args:
        read: "varied": trained to read a random share of each video's tokens; "whole": then trained further on whole
            videos only, as published models are.

    Raises:
        ValueError: ``read`` is neither.
    """
    if read not in FOLDERS:
        raise ValueError(f"read must be one of {', '.join(FOLDERS)}; got {read!r}")
    return Path(__file__).parent / FOLDERS[read]
