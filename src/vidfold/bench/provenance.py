"""Provenance of a number: versions, machine, weights and code."""

import ast
import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
import platform
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import torch

import vidfold
from vidfold.reducers import Reducer

_SAMPLED = 256
"""Numbers per parameter that go into the digest; reading all of a large model would take too long."""


def provenance(model: Any) -> dict[str, str]:
    """Columns with the versions, the machine, the device and the date of a measurement."""
    device = model.device
    return {
        "vidfold": vidfold.__version__,
        "code": code_digest(),
        "torch": torch.__version__,
        "transformers": importlib.metadata.version("transformers"),
        "numpy": importlib.metadata.version("numpy"),
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "threads": str(torch.get_num_threads()),
        "device": str(device),
        "dtype": str(model.dtype).removeprefix("torch."),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def weights_digest(model: Any) -> str:
    """Digest of the name, shape and first numbers of every parameter, to distinguish models."""
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        numbers = parameter.detach().flatten()[:_SAMPLED].float().cpu().numpy()
        digest.update(f"{name}{tuple(parameter.shape)}".encode() + numbers.tobytes())
    return digest.hexdigest()[:12]


@cache
def code_digest() -> str:
    """Digest of this package's source files."""
    folder = Path(vidfold.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()[:12]


@cache
def code_of(module: str) -> str:
    """Digest of the source of a module and of all modules of this package that it imports, directly or not."""
    folder = Path(vidfold.__file__).parent.parent
    digest, seen, waiting = hashlib.sha256(), set[Path](), [Path(str(sys.modules[module].__file__))]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        source = path.read_bytes()
        digest.update(path.name.encode() + source)
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == vidfold.__name__:
                place = folder.joinpath(*node.module.split("."))
                names = [place / each.name for each in node.names]
                waiting += [found for name in names for found in _files(name) or _files(place)]
    return digest.hexdigest()[:12]


def _files(module: Path) -> list[Path]:
    """The source file of a module without its suffix, if there is one."""
    return [path for path in (module.with_suffix(".py"), module / "__init__.py") if path.is_file()]


def _processor() -> str:
    facts = Path("/proc/cpuinfo")  # on Linux
    named = re.search(r"model name\s*: (.*)", facts.read_text(encoding="utf-8") if facts.is_file() else "")
    return named[1] if named else platform.processor() or platform.machine()


def settings_of(reducer: Reducer) -> str:
    """All fields of a method as JSON, except the seed, since every clip has a different one."""
    fields = {name: value for name, value in dataclasses.asdict(reducer).items() if name != "seed"}
    return json.dumps(fields, default=str, sort_keys=True)
