"""Which weights a model has, and which file a video came from, in a few characters."""

import hashlib
from os import PathLike
from typing import Any

import torch

SAMPLED = 1024
"""Numbers of every tensor that are looked at: all of a large model would take minutes."""


@torch.no_grad()
def weights_fingerprint(model: Any) -> str:
    """SHA-256 of name, dtype, shape and `SAMPLED` evenly spread numbers of every weight, 64 hex digits.

    Models that were trained further, quantised, or are of another revision or dtype differ. A change of few numbers
    may be missed.
    """
    digest = hashlib.sha256()
    for name, weight in model.named_parameters():
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}\n".encode())
        values = weight.detach().flatten()
        step = max(1, len(values) // SAMPLED)
        digest.update(values[::step].contiguous().view(torch.uint8).cpu().numpy().tobytes())
    return digest.hexdigest()


def file_digest(path: str | PathLike[str]) -> str:
    """SHA-256 of a file, 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
