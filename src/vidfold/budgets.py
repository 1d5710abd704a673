"""How many tokens are kept: one definition of retention for every method, exact and known before any feature exists."""

from __future__ import annotations

import math
from numbers import Real


def check_ratio(name: str, value: object, *, zero: bool = False) -> float:
    """``value`` as a float in (0, 1], or in [0, 1] where ``zero`` is allowed.

    Raises:
        ValueError: it is not a number, or lies outside.
    """
    interval = "[0, 1]" if zero else "(0, 1]"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{name} must be a number in {interval}, got {value!r}")
    number = float(value)
    if not (0 <= number <= 1) or (number == 0 and not zero):
        raise ValueError(f"{name} must be in {interval}, got {value!r}")
    return number


def check_count(name: str, value: object, least: int = 1) -> int:
    """``value`` as a whole number of at least ``least``.

    Raises:
        ValueError: it is not one.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return value


def kept_tokens(retention: float, frames: int, cells: int) -> int:
    """Number of tokens K = max(1, floor(retention * F * N + 0.5)) kept of F frames with N tokens each."""
    return max(1, math.floor(retention * frames * cells + 0.5))
