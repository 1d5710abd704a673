"""Rendered clips that the tests share."""

import functools

from vidfold.tiny.scenes import Clip, render, seeds


@functools.cache
def some(world: str, frames: int) -> list[Clip]:
    """Twenty clips of the search split; tests leave them as they are."""
    return [render(seed, frames) for seed in seeds("search", 20, world=world)]
