"""Qwen2-VL (Wang et al. 2024, arXiv:2409.12191) as transformers loads it."""

from dataclasses import dataclass
from typing import ClassVar

from vidfold.models.qwen_vl import QwenVL


@dataclass(frozen=True, eq=False)
class Qwen2VL(QwenVL):
    """Every layer of the tower attends to the whole frame; see `QwenVL`."""

    model_type: ClassVar[str] = "qwen2_vl"
