"""The contract of every model family: how a video's tokens are taken out of a model's inputs and put back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from vidfold.tokens import Reduction, VideoTokens

Inputs = Mapping[str, Any]
"""Keyword arguments of a model's ``generate`` or ``forward``, as its processor makes them."""


@dataclass(frozen=True, eq=False)
class Family(ABC):
    """One loaded model seen as a source and a reader of video tokens.

    A family subclasses this as a frozen dataclass in a file of its own, names itself in the class variables, implements
    the abstract methods, and is entered in ``models/__init__.py``. It reads the model and never changes it. Its other
    fields are choices, such as which vision layers to observe.

    Attributes:
        model: the transformers model, as loaded.
    """

    model: Any

    model_type: ClassVar[str]
    """``config.model_type`` of the models it serves."""
    gives: ClassVar[frozenset[str]] = frozenset()
    """Optional fields of `VideoTokens` that it can fill."""
    closing: ClassVar[int] = 0
    """Tokens of the model's own that end every video (a newline); they are kept and no budget counts them."""

    @abstractmethod
    def has_video(self, inputs: Inputs) -> bool:
        """Whether the inputs carry video pixels."""

    @abstractmethod
    def places(self, ids: Tensor) -> Tensor:
        """Where token ids (B, L) are placeholders of a video, (B, L) bool, in the order of the videos' tokens."""

    @abstractmethod
    def _encode(self, inputs: Inputs, needs: frozenset[str]) -> list[VideoTokens]:
        """Encode inputs that hold video and needs that can be met; see `encode`."""

    @abstractmethod
    def splice(self, inputs: Inputs, reductions: Sequence[Reduction]) -> dict[str, Any]:
        """Inputs with the reductions in the place of the video.

        Args:
            inputs: with ``input_ids`` (B, L) and whatever else the call had; video pixels are not looked at.
            reductions: one a video, in the order of the prompts.

        Returns:
            Keyword arguments for the model's own ``generate`` or ``forward``: shortened ids, mask and labels, and the
            tokens. Meant for one call: ``generate`` may change them. Splicing again costs little.

        Raises:
            ValueError: placeholders in the prompts that do not match the reductions.
        """

    def holds_places(self, ids: Tensor) -> bool:
        """Whether token ids (B, L) hold placeholders of a video."""
        return bool(self.places(ids).any())

    def encode(self, inputs: Inputs, needs: frozenset[str] = frozenset()) -> list[VideoTokens]:
        """Run the vision tower and projector, without gradients.

        Args:
            inputs: with video pixels; prompts are not looked at.
            needs: optional fields of `VideoTokens` to fill; those not asked for are None and cost nothing.

        Returns:
            One `VideoTokens` a video, in the order of the pixels.

        Raises:
            ValueError: no video, pixels of another shape than the model takes, or a need that the family cannot meet.
        """
        self.check_needs(needs)
        if not self.has_video(inputs):
            raise ValueError(f"inputs carry no video to encode; they have: {', '.join(sorted(inputs)) or 'nothing'}")
        with torch.no_grad():
            return self._encode(inputs, needs)

    def check_needs(self, needs: frozenset[str]) -> None:
        """Raise a ValueError naming the first field of `VideoTokens` that this family cannot fill."""
        if missing := sorted(needs - self.gives):
            raise ValueError(
                f"{self.model_type} cannot give VideoTokens.{missing[0]}; beside the features it gives: "
                f"{', '.join(sorted(self.gives)) or 'nothing'}"
            )
