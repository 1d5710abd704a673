"""Shared by all tests: golden files and small videos."""

import functools
import gc
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from vidfold import Pooling, VideoTokens

# The suite runs one process per core; more threads would only compete.
torch.set_num_threads(1)
# Without a GPU, Triton's interpreter runs the fused kernels; this must be set before Triton is imported.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# A busy machine is slow, not wrong.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


def pytest_collection_finish() -> None:
    """What the imports made stays: the garbage collector need not look at it again."""
    gc.collect()
    gc.freeze()


GOLDENS = Path(__file__).parent / "goldens"


@functools.cache
def load_golden(name: str) -> dict:
    """Arrays of a golden file as tensors, the same for all tests; JSON strings decoded."""
    with np.load(GOLDENS / f"{name}.npz") as file:
        return {
            key: json.loads(str(file[key])) if file[key].dtype.kind == "U" else torch.from_numpy(file[key])
            for key in file
        }


def unpack(bits: torch.Tensor, length: int) -> torch.Tensor:
    """A bit array of a golden file as (rows, length) bool."""
    return torch.from_numpy(np.unpackbits(bits.numpy(), axis=1)[:, :length].astype(bool))


def golden_video(family: str, frames: int | None = None) -> VideoTokens:
    """The input of the golden cases "ov" (LLaVA-OneVision) or "vid" (LLaVA-Video)."""
    data = load_golden(f"aot/{family}_input")
    return VideoTokens(
        features=data["features"][:frames],
        grid=(27, 27),
        pooling=Pooling.BILINEAR if family == "ov" else Pooling.AVERAGE,
        shallow=data["attn_shallow"][:frames],
        deep=data["attn_deep"][:frames],
        newline=data.get("image_newline"),
    )


def make_video(
    frames: int = 6,
    grid: tuple[int, int] = (9, 8),
    channels: int = 16,
    pooling: Pooling = Pooling.BILINEAR,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> VideoTokens:
    """A small video with similar frames, as in real videos."""
    generator = torch.Generator().manual_seed(seed)
    patches = grid[0] * grid[1]
    scene = torch.randn(1, patches, channels, generator=generator)
    motion = torch.randn(frames, patches, channels, generator=generator)
    attention = torch.rand(2, frames, patches, generator=generator) ** 3
    return VideoTokens(
        features=(scene + 0.5 * motion).to(dtype),
        grid=grid,
        pooling=pooling,
        shallow=attention[0],
        deep=attention[1],
        keys=torch.randn(frames, patches, 8, generator=generator),
    )


@pytest.fixture(scope="session")
def ov_video() -> VideoTokens:
    """The LLaVA-OneVision golden input: 32 frames of 27x27 patches."""
    return golden_video("ov")
