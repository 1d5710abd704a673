"""Checkpoints from folders and the hub, also those that transformers does not load by itself."""

from vidfold.models.loading.published import is_published, load

__all__ = ["is_published", "load"]
