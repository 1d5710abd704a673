"""Checks of settings: each returns the value, or raises a ValueError that quotes it."""

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


def check_weight(name: str, value: object) -> float:
    """``value`` as a finite float of at least 0.

    Raises:
        ValueError: it is not one.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < math.inf:
        raise ValueError(f"{name} must be a finite number of at least 0, got {value!r}")
    return float(value)


def check_threshold(name: str, value: object) -> float:
    """``value`` as a float in [-1, 1], a cosine similarity.

    Raises:
        ValueError: it is not one.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not -1 <= float(value) <= 1:
        raise ValueError(f"{name} must be a cosine similarity in [-1, 1], got {value!r}")
    return float(value)
