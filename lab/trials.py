"""What is tried before a setting is chosen: AOT with one choice changed, and settings of the other methods."""

from collections.abc import Callable
from itertools import product
from typing import Any

from lab import aot_variants as variants
from vidfold.reducers import AOT, METHODS, Reducer

DEFAULT = "aot"
Trial = tuple[Callable[..., Reducer], dict[str, Any]]
"""A method or variant, and its fields beside the retention."""

GRIDS: dict[str, tuple[dict[str, tuple[Any, ...]], ...]] = {
    "simplecluster": (
        {"theta": (3.0, 30.0, 1e3, 1e4, 1e6), "iterations": (1, 10, 40)},
        {"theta": (1.0, 1.5, 2.0, 5.0, 10.0)},
    ),
    "holitom": (
        {"threshold": (0.5, 0.65, 0.8, 0.9), "beta": (0.0, 0.3, 0.6)},
        {"threshold": (0.2, 0.35), "beta": (0.0,), "window": (4, 8, 1024)},
    ),
    "flashvid": (
        {"alpha": (0.0, 0.35, 0.7), "temporal_threshold": (0.7, 0.8), "segments": (2, 8)},
        {"alpha": (0.0,), "temporal_threshold": (0.5, 0.6), "segments": (1, 2, 4)},
        {"alpha": (0.15,), "temporal_threshold": (0.6, 0.7), "segments": (2,)},
    ),
    "fastvid": (
        {"context": (0.4, 0.7, 1.0), "beta": (0.0, 0.6), "clips": (2, 8)},
        {"context": (1.0,), "beta": (0.0,), "clips": (1, 2, 4), "stride": (1, 2, 4)},
    ),
    "gleanvid": (
        {"least_even": (0.2, 1.0), "most_even": (0.6, 1.0), "sharpness": (0.5, 4.0, 32.0)},
        {"least_even": (0.0,), "most_even": (0.3,)},
        {"least_even": (1.0,), "tolerance": (1e-3, 1e-2, 0.1, 0.3)},
    ),
    "dynvid": (
        {"own": (0.05, 0.25, 0.6), "nearest": (3, 10), "clips": (3, 8)},
        {"own": (0.05,), "clips": (5,), "temperature": (0.01, 0.03, 0.1)},
        {"own": (0.05,), "cut_below": (0.4, 0.7)},
        {"own": (0.02,), "clips": (3, 8)},
    ),
    "ott-vid": (
        {"temporal_share": (0.1, 0.3, 0.5), "mass_temperature": (0.3, 3.0), "cost_threshold": (0.3, 1.0)},
        {"temporal_share": (0.0, 0.2), "mass_temperature": (1.0, 3.0, 10.0)},
        {"temporal_share": (0.3,), "mass_temperature": (3.0,), "budget_temperature": (0.1, 1.0)},
    ),
    "prunevid": (
        {"threshold": (0.5, 0.65, 0.8, 0.9), "segment_ratio": (0.1, 0.25, 0.5)},
        {"threshold": (0.9, 0.95, 1.0), "segment_ratio": (0.5, 0.75, 1.0)},
    ),
    "visionzip": ({"dominant": (0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.7, 1.0)},),
}
"""Values of the fields that decide what a method keeps; all combinations of a group are tried. The first group of a
method was laid out beforehand, the others around the best of the first (`benchmarks/aot.md`)."""
FIXED = ("tome", "divprune", "diverse", "llava-scissor", "average", "random", "aot-paper")
"""Methods without such a field: their defaults are their only trial. `aot-paper` is AOT's own older form."""


def choices() -> dict[str, Trial]:
    """AOT with one choice changed at a time: a field, or a step (`aot_variants`)."""
    return {
        DEFAULT: (AOT, {}),
        "anchors stay at even places": (variants.Chosen, {}),
        "anchors move to barycentres only": (variants.Staying, {}),
        "anchors by farthest point": (variants.Farthest, {}),
        "anchors by facility location": (variants.Facility, {}),
        "compared in 192 channels from the first round on": (variants.Fine, {}),
        "time and place cost nothing": (AOT, {"locality": 0.0}),
        "time and place cost half": (AOT, {"locality": AOT.locality / 2}),
        "time and place cost twice": (AOT, {"locality": AOT.locality * 2}),
        "time and place cost nothing in the last assignment": (variants.Freed, {}),
        "time and place cost nothing in the last two": (variants.Freed, {"freed": 2}),
        "4 rounds": (AOT, {"rounds": 4}),
        "9 rounds": (AOT, {"rounds": 9}),
        "clips of 8": (AOT, {"clip": 8}),
        "clips of 32": (AOT, {"clip": 32}),
        "dynamic clips": (AOT, {"segments": "dynamic"}),
        "optimal clips": (AOT, {"segments": "optimal"}),
        "a sketch of 64 of 192 channels": (AOT, {"sketch": 64}),
    }


def weights() -> dict[str, Trial]:
    """AOT with other weights of the distance in time and place."""
    return {
        DEFAULT: (AOT, {}),
        **{f"weight {value:g}": (AOT, {"locality": value}) for value in (2.0, 3.0, 4.0, 8.0, 10.0)},
    }


def peers() -> dict[str, Trial]:
    """AOT, then every other method: its defaults, and the settings of its grids."""
    found: dict[str, Trial] = {DEFAULT: (AOT, {})}
    for method in (*GRIDS, *FIXED):
        tried = [METHODS[method]()]
        found[method] = (METHODS[method], {})
        for grid in GRIDS.get(method, ()):
            for values in product(*grid.values()):
                fields = dict(zip(grid, values, strict=True))
                if METHODS[method](**fields) not in tried:
                    tried.append(METHODS[method](**fields))
                    label = ", ".join([method, *(f"{field} {value:g}" for field, value in fields.items())])
                    found[label] = (METHODS[method], fields)
    return found


TRIALS = {"choices": choices, "weights": weights, "peers": peers}
