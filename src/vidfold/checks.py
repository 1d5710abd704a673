"""Checks of settings: each returns the value as described, or raises a ValueError that quotes it."""

import difflib
import math
from collections.abc import Callable, Sequence
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
    """``value`` as a float in (0, 1], or in [0, 1] where ``zero`` is allowed."""
    interval = "[0, 1]" if zero else "(0, 1]"
    _number(name, value, f"a number in {interval}")
    return _number(name, value, f"in {interval}", lambda number: 0 <= number <= 1 and (zero or number > 0))


def check_weight(name: str, value: object) -> float:
    """``value`` as a finite float of at least 0."""
    return _number(name, value, "a finite number of at least 0", lambda number: 0 <= number < math.inf)


def check_threshold(name: str, value: object) -> float:
    """``value`` as a float in [-1, 1], a cosine similarity."""
    return _number(name, value, "a cosine similarity in [-1, 1]", lambda number: -1 <= number <= 1)


def check_positive(name: str, value: object) -> float:
    """``value`` as a finite float above 0."""
    _number(name, value, "a finite number above 0", math.isfinite)
    return _number(name, value, "positive", lambda number: number > 0)


def _number(name: str, value: object, must: str, fits: Callable[[float], bool] = lambda _: True) -> float:
    """``value`` as a float, which a bool is not; a ValueError says what it must be."""
    if isinstance(value, bool) or not isinstance(value, Real) or not fits(float(value)):
        raise ValueError(f"{name} must be {must}, got {value!r}")
    return float(value)


def check_count(name: str, value: object, least: int = 1) -> int:
    """``value`` as a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return value


def check_choice(name: str, value: object, of: object) -> object:
    """``value`` as one of the choices of a ``Literal`` type."""
    choices = get_args(of)
    if value not in choices:
        *others, last = map(repr, choices)
        raise ValueError(f"{name} must be {', '.join(others)} or {last}, got {value!r}")
    return value


def check_known(told: str, name: str, known: Sequence[str], *, listed: Sequence[str] = ()) -> None:
    """Raise a ValueError where no such name is known; it names the nearest one, and lists all, or those ``listed``.

    Args:
        told: begins the message, such as "unknown method".
        name: that was asked for.
        known: all names.
        listed: names for the message, if it is not to list all.
    """
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"{told} {name!r}; {hint}there are: {', '.join(listed or known)}")


def frozen(value: object) -> object:
    """A value with its lists as tuples, since settings do not change."""
    return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value
