"""Times, spreads, amounts and rates as text, with three digits."""

from __future__ import annotations

from vidfold.bench.speed.samples import Spread

NONE = "-"
_ROUNDS_UP = 0.9995
"""From this value on, three digits round up to 1.00."""
_PREFIXES = (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3))


def span(milliseconds: float | None) -> str:
    """A time in ms or s."""
    if milliseconds is None:
        return NONE
    size, unit = _unit(milliseconds)
    return f"{_digits(milliseconds / size)} {unit}"


def spread(samples: Spread | None) -> str:
    """The median, with fastest and slowest in the same unit if there are several samples."""
    if samples is None or samples.count == 1:
        return span(samples.median if samples else None)
    size, _ = _unit(samples.median)
    return f"{span(samples.median)} ({_digits(samples.low / size)}–{_digits(samples.high / size)})"


def ratio(samples: Spread) -> str:
    """The median of ratios, with the smallest and the largest."""
    return f"{samples.median:.2f} ({samples.low:.2f}–{samples.high:.2f})"


def amount(value: float | None, unit: str) -> str:
    """A number with an SI prefix."""
    if value is None:
        return NONE
    prefix, size = next(((prefix, size) for prefix, size in _PREFIXES if value >= _ROUNDS_UP * size), ("", 1.0))
    return f"{_digits(value / size)} {prefix}{unit}".strip()


def rate(value: float | None, milliseconds: float, unit: str) -> str:
    """An amount per second; "-" if noise made the time zero or negative."""
    return NONE if value is None or milliseconds <= 0 else amount(1000 * value / milliseconds, unit)


def _unit(milliseconds: float) -> tuple[float, str]:
    return (1000.0, "s") if abs(milliseconds) >= 1000 * _ROUNDS_UP else (1.0, "ms")


def _digits(value: float) -> str:
    """Three digits, no exponent."""
    size = abs(value)
    return f"{value:.{0 if size >= 99.95 else 1 if size >= 9.995 else 2}f}"
