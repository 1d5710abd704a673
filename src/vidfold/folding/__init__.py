"""Fold a model: its own ``generate`` and ``forward`` read every video in fewer tokens."""

from vidfold.folding.folder import Fold
from vidfold.folding.handle import Folded, fold

__all__ = ["Fold", "Folded", "fold"]
