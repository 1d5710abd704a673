"""Every kernel compiles for GPUs, without one, as a fold launches it, and keeps its work in registers."""

import os
import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("triton", reason="the kernels need Triton")

PROGRAM = """
    import os, re, subprocess, sys, tempfile
    import torch, triton
    from triton.backends.compiler import GPUTarget
    from triton.runtime import driver
    from vidfold.ops.kernels import channels, exchange, groups, quantise
    from vidfold.reducers.aot import fused

    capability, frames, cells, width, total, sketch = map(int, sys.argv[1:])

    class Device:
        get_current_target = lambda self: GPUTarget("cuda", capability, 32)
        get_current_device = lambda self: 0
        get_current_stream = lambda self, device: 0

    driver.set_active(Device())
    run, built = triton.JITFunction.run, []
    triton.JITFunction.run = lambda self, *args, warmup, **settings: built.append(
        run(self, *args, warmup=True, **settings)  # compiles, and launches nothing
    )
    features = torch.empty(frames, cells, width, dtype=torch.bfloat16, device="meta")
    starts = torch.empty(-(-frames // 16), dtype=torch.int64, device="meta")
    settings = 3, sketch or None, 1.5, 128, 1e-4
    fused.launched(features, starts, starts, min(16, frames), total, 1, cells, *settings)

    kernels = {kernel.hash: kernel for kernel in built}.values()
    modules = {module.__name__: module for module in (channels, exchange, groups, quantise)}
    known = {
        name for module in modules.values() for name, each in vars(module).items()
        if isinstance(each, triton.JITFunction) and each.__module__ == module.__name__
    }
    assert {kernel.name for kernel in kernels} == known - {"_sign", "_store_angle", "_far", "_spare"}
    tool = os.path.join(os.path.dirname(triton.__file__), "backends", "nvidia", "bin", "cuobjdump")
    for kernel in kernels:
        assert "tf32" not in kernel.asm["ptx"]
        with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
            file.write(kernel.asm["cubin"])
            file.flush()
            usage = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
        registers, stack = (int(re.search(rf"{what}:(\\d+)", usage)[1]) for what in ("REG", "STACK"))
        # A stack of some words is for the range of the angles of cos and sin.
        assert kernel.metadata.shared <= 48 << 10 and registers <= 200 and stack <= 32, (kernel.name, usage)
"""

USUAL = 32, 196, 3584, 627, 256


@pytest.mark.parametrize(
    ("capability", "shape"),
    [
        (80, USUAL),
        pytest.param(90, USUAL, marks=pytest.mark.lab),
        pytest.param(80, (32, 729, 896, 5832, 0), marks=pytest.mark.lab, id="80-all channels"),
        pytest.param(90, (1, 1, 5, 1, 4), marks=pytest.mark.lab, id="90-one token"),
    ],
)
def test_compiles_without_a_gpu(capability, shape):
    """Frames, cells, channels, tokens kept, and channels of the sketch, 0 for all."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(capability), *map(str, shape)],
        env=os.environ | {"TRITON_INTERPRET": "0"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
