"""Checks of settings: each returns the value, or raises a ValueError that quotes it."""

import math
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from numbers import Real
from typing import Any, TypeVar, get_args

T = TypeVar("T")


def setting(
    default: T, check: Callable[..., Any], *, optional: bool = False, kw_only: Any = MISSING, **limits: object
) -> T:
    """A field of `Settings` that is checked when it is set.

    Args:
        default: its default value.
        check: one of the checks of this file.
        optional: whether None is allowed, too.
        kw_only: whether the field can only be given by name; as the class has it by default.
        limits: further arguments of the check.
    """
    return field(default=default, kw_only=kw_only, metadata={"check": check, "optional": optional, "limits": limits})


@dataclass(frozen=True)
class Settings:
    """Base of frozen dataclasses that check those fields that are declared with `setting`."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value, how = getattr(self, each.name), each.metadata
            if "check" in how and not (value is None and how["optional"]):
                how["check"](each.name, value, **how["limits"])


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


def check_positive(name: str, value: object) -> float:
    """``value`` as a finite float above 0.

    Raises:
        ValueError: it is not one.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not -math.inf < float(value) < math.inf:
        raise ValueError(f"{name} must be a finite number above 0, got {value!r}")
    if float(value) <= 0:
        raise ValueError(f"{name} must be positive, got {value!r}")
    return float(value)


def check_choice(name: str, value: object, of: object) -> object:
    """``value`` as one of the choices of a ``Literal`` type.

    Raises:
        ValueError: it is none of them.
    """
    choices = get_args(of)
    if value not in choices:
        *others, last = map(repr, choices)
        raise ValueError(f"{name} must be {', '.join(others)} or {last}, got {value!r}")
    return value
