"""Fused Triton kernels for the steps of `vidfold.AOT`, for GPUs.

Tokens are rows of one matrix, and a clip is a range of these rows, so nothing is padded. Every kernel has one program
for each tile of tokens, or for each anchor, of each clip. Every sum has one program and one order, without atomics, so
every run gives the same result. Products are in full float32: with TF32 other tokens would be the nearest. No number is
read back by the host. Importing a module of this package imports Triton.
"""

import importlib.util

from torch import Tensor

HAS_TRITON = importlib.util.find_spec("triton") is not None


def run_for(values: Tensor) -> bool:
    """Whether the kernels are made for a tensor: it lies on a GPU, and Triton is installed."""
    return HAS_TRITON and values.is_cuda
