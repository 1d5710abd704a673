"""Fold a model: its own ``generate`` and ``forward`` read every video in fewer tokens."""

from vidfold.folding.handle import Fold, Folded, fold

__all__ = ["Fold", "Folded", "fold"]
