"""What vidfold finds on this machine: versions, devices, kernels, decoders, and how to get what is missing."""

import importlib.metadata
import os
import platform
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidfold import __version__, extras, versions

CODECS = ("h264", "hevc", "vp9", "av1")
"""Decoders that most videos need."""
PACKAGES = {
    "transformers": ("models", "language models"),
    "torchvision": ("models", "processors of models"),
    "accelerate": ("models", "models spread over devices"),
    "PIL": ("models", "pictures, and animated WebP"),
    "av": ("video", "video files"),
    "fsspec": ("web", "videos at addresses"),
    "pyarrow": ("batch", "many videos"),
    "gradio": ("app", "the page of vidfold app"),
    "matplotlib": ("bench", "pictures of the benches"),
    "shtab": ("completion", "vidfold --completion"),
    "lmms_eval": ("eval", "the tables of papers; best in an environment of its own"),
}
"""Module -> the extra of vidfold that installs it, and what it serves."""
_DISTRIBUTIONS = {"PIL": "pillow", "lmms_eval": "lmms-eval"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for.

    Attributes:
        part: what it is.
        told: its version, or its state.
        missing: what to do where it is missing or broken; empty where nothing is.
    """

    part: str
    told: str
    missing: str = ""


def findings() -> Iterator[Finding]:
    """Everything, in the order in which a user would ask."""
    yield Finding("vidfold", f"{__version__} at {Path(__file__).parent.parent}")
    yield Finding("python", f"{platform.python_version()} at {sys.executable}")
    yield Finding("system", f"{platform.platform()}, {os.cpu_count()} CPU cores")
    yield from _torch()
    for module, (extra, serves) in PACKAGES.items():
        yield _package(module, extra, serves)
    yield from _decoders()
    yield from _accelerators()


def _torch() -> Iterator[Finding]:
    import torch

    build = torch.version.cuda or torch.version.hip
    yield Finding("torch", f"{torch.__version__}, {torch.get_num_threads()} threads")
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            found = torch.cuda.get_device_properties(number)
            yield Finding(f"cuda:{number}", f"{found.name}, {found.total_memory / 1e9:.0f} GB")
    elif build:
        yield Finding(
            "GPU", f"none, although torch is built for {build}", "the GPU's driver is missing or too old for this torch"
        )
    else:
        yield Finding("GPU", "none: this torch is built for the CPU")
    if torch.backends.mps.is_available():
        yield Finding("mps", "there")


def _package(module: str, extra: str, serves: str) -> Finding:
    """A package that is optional, its version checked."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", versions.UntestedVersion)
            extras.load(module, extra)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        if _version(module) is None:
            return Finding(module, f"not installed ({serves})", extras.remedy(extra))
        return Finding(module, f"{_version(module)} does not load, or is too old ({serves})", str(error))
    untested = [str(each.message) for each in caught if each.category is versions.UntestedVersion]
    return Finding(module, _version(module) or "there", *untested)


def _decoders() -> Iterator[Finding]:
    try:
        av: Any = extras.load("av", "video")
    except (extras.MissingExtra, ValueError):
        return
    lacking = [codec for codec in CODECS if codec not in av.codecs_available]
    libraries = ".".join(map(str, av.library_versions["libavcodec"]))
    told = f"libavcodec {libraries}; {', '.join(codec for codec in CODECS if codec not in lacking)}"
    yield Finding("decoders", told, f"this build of PyAV does not decode {', '.join(lacking)}" if lacking else "")


def _accelerators() -> Iterator[Finding]:
    """Packages for GPUs and servers; where these are not used, nothing is missing without them."""
    import torch

    uses = {
        "triton": "fused kernels of transport and of received attention, on a GPU",
        "flash_attn": "--attn flash_attention_2, on a GPU",
        "bitsandbytes": "--quantization, on a GPU",
        "vllm": "a server that folds",
    }
    for module, serves in uses.items():
        version = _version(module)
        slow = module == "triton" and version is None and torch.cuda.is_available()
        remedy = "pip install triton" if slow else ""
        yield Finding(module, f"{version or 'not installed'} ({serves})", remedy)


def _version(module: str) -> str | None:
    """The version of the package of a module; None where it is not installed."""
    try:
        return importlib.metadata.version(_DISTRIBUTIONS.get(module, module))
    except importlib.metadata.PackageNotFoundError:
        return None
