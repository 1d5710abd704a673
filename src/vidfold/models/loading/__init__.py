"""Checkpoints from folders and the hub: those of transformers, and those as the authors of LLaVA publish them."""

from vidfold.models.loading.checkpoints import load

__all__ = ["load"]
