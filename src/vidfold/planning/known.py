"""Costs that were measured before, on disk: one file for each machine, model and form of its inputs."""

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from vidfold.app.writing import write_text
from vidfold.planning.costs import FEW, Costs, Line, MakeInputs, calibrate
from vidfold.reading.fingerprint import weights_fingerprint


def usual_folder() -> Path:
    """Where costs are kept unless said otherwise."""
    return Path.home() / ".cache" / "vidfold" / "costs"


def known_costs(
    model: Any,
    inputs: MakeInputs,
    folder: Path,
    *,
    about: str = "",
    again: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Costs, bool]:
    """`calibrate`, once for each machine, model and form of inputs.

    Another device, number of threads, dtype, attention, version of torch, transformers or vidfold, or size of frames is
    measured anew, and so is what cannot be read.

    Args:
        model, inputs, progress: as of `calibrate`.
        folder: of the files; it is made where it is not there.
        about: what else changes the costs, such as the size of the frames that the processor is given.
        again: whether to measure in any case, and to replace what is known.

    Returns:
        The costs, and whether they were known.

    Raises:
        ValueError: what `calibrate` raises.
        OSError: the folder cannot be written.
    """
    path = folder / f"{_key(model, inputs, about)}.json"
    if not again and path.is_file() and (costs := _read(path)) is not None:
        return costs, True
    costs = calibrate(model, inputs, progress=progress)
    write_text(path, json.dumps(dataclasses.asdict(costs), indent=1) + "\n")
    return costs, False


def _read(path: Path) -> Costs | None:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        lines: dict[str, Any] = {name: Line(**each) for name, each in values.items() if isinstance(each, dict)}
        return Costs(**values | lines)
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _key(model: Any, inputs: MakeInputs, about: str) -> str:
    device = model.device
    shapes = sorted((name, tuple(each.shape)) for name, each in inputs(FEW).items() if hasattr(each, "shape"))
    facts = (
        weights_fingerprint(model),
        getattr(model.config, "_attn_implementation", None),
        torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        (platform.node(), platform.machine(), os.cpu_count(), torch.get_num_threads()),
        [importlib.metadata.version(name) for name in ("vidfold", "torch", "transformers")],
        shapes,
        about,
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:24]
