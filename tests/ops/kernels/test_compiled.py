"""Every kernel compiles for GPUs, without one, and keeps what it works on in registers and little shared memory."""

import os
import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("triton", reason="the kernels need Triton")

PROGRAM = """
    import os, re, subprocess, sys, tempfile
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from vidfold.ops.kernels import channels, groups, quantise

    NUMBERS = ("total", "frames", "cells", "tiles", "most", "moving", "rows", "channels", "width")
    NUMBERS += ("grid_height", "grid_width")
    LONG = ("starts", "lengths", "places", "targets")
    INT = ("labels", "new_labels", "members", "worst", "others", "givers", "takers", "turns", "best", "spans")
    TYPES = {name: "i32" for name in NUMBERS} | {name: "*i64" for name in LONG} | {name: "*i32" for name in INT}
    TYPES |= {"locality": "fp32", "moved": "fp32", "close": "fp32", "values": "*bf16", "tokens": "*bf16"}
    PRODUCT = {"N": quantise._TILE, "K": quantise._TILE, "E": quantise._DEPTH}
    SUMS = {"MEMBERS": quantise._MEMBERS, "WIDTH": quantise._WIDTH}
    KERNELS = [
        # 3,584 channels to 256, and all of 3,584.
        (channels._unit_rows, {"SIGNED": True, "ROWS": 8, "WIDTH": 256}, 4),
        (channels._unit_rows, {"SIGNED": False, "ROWS": 1, "WIDTH": 4096}, 4),
        (channels._frame_means, {"ROWS": 32, "WIDTH": 64}, 4),
        (channels._clip_weights, {"FRAMES": 8, "WIDTH": 256}, 4),
        (channels._located, {"PLACES": 6, "ROWS": 4, "WIDTH": 512}, 4),
        (quantise._begin, {"WIDTH": quantise._WIDTH}, 1),
        (quantise._assign, PRODUCT, quantise._WARPS),
        (quantise._barycentres, SUMS, 4),
        (quantise._losses, PRODUCT, quantise._WARPS),
        (quantise._turns, {"K": quantise._TILE}, 4),
        (quantise._move, {"WIDTH": quantise._WIDTH}, 1),
        (groups._best_served, {}, 4),
        (groups._fill, {"N": groups._TILE, "K": groups._TILE}, 4),
        (groups._first_members, {}, 4),
        (groups._means, {"MEMBERS": groups._MEMBERS, "WIDTH": groups._WIDTH}, 4),
    ]
    launched = {
        each for module in (channels, quantise, groups) for each in vars(module).values()
        if isinstance(each, triton.JITFunction) and each.do_not_specialize or each is channels._clip_weights
    }
    assert launched == {kernel for kernel, _, _ in KERNELS}, "every kernel is compiled here"
    tool = os.path.join(os.path.dirname(triton.__file__), "backends", "nvidia", "bin", "cuobjdump")
    for kernel, constants, warps in KERNELS:
        names = kernel.arg_names
        signature = {name: "constexpr" if name in constants else TYPES.get(name, "*fp32") for name in names}
        aligned = [at for at, name in enumerate(names) if signature[name][0] == "*" or name == "channels"]
        source = ASTSource(
            fn=kernel, signature=signature, attrs={(at,): [["tt.divisibility", 16]] for at in aligned},
            constexprs={(names.index(name),): value for name, value in constants.items()},
        )
        target = GPUTarget("cuda", int(sys.argv[1]), 32)
        built = triton.compile(source, target=target, options={"num_warps": warps})
        assert f".entry {kernel.__name__}" in built.asm["ptx"]
        assert "tf32" not in built.asm["ptx"]
        assert built.metadata.shared <= 48 << 10, (kernel.__name__, built.metadata.shared)
        with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
            file.write(built.asm["cubin"])
            file.flush()
            usage = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
        # A stack of some words is for the range of angles of cos and sin.
        registers, stack = (int(re.search(rf"{what}:(\\d+)", usage)[1]) for what in ("REG", "STACK"))
        assert registers <= 200 and stack <= 32, (kernel.__name__, usage)
"""


@pytest.mark.parametrize("capability", [80, pytest.param(90, marks=pytest.mark.lab)])
def test_compiles_without_a_gpu(capability):
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(capability)],
        env=os.environ | {"TRITON_INTERPRET": "0"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
