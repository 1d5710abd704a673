"""Versions of the packages whose inner interfaces vidfold uses: which are tested, and a warning at any other."""

import re
import warnings
from collections.abc import Mapping
from typing import Any

TESTED: Mapping[str, tuple[str, str]] = {
    "transformers": ("5.19", "5.24"),
    "av": ("15", "19"),
    "vllm": ("0.32", "0.32"),
}
"""Module -> the oldest and the newest version that ``make test-matrix`` tests, and ``make test-vllm`` for vLLM.

pyproject.toml has the same ranges.
"""


class UntestedVersion(UserWarning):
    """A package is newer than all versions of it that vidfold is tested with."""


def check(module: Any) -> None:
    """Compare a module's version with the range in `TESTED`; modules that have none there pass.

    Raises:
        ValueError: it is older than the range.

    Warns:
        UntestedVersion: it is newer than the range.
    """
    if module.__name__ not in TESTED:
        return
    oldest, newest = TESTED[module.__name__]
    found = f"{module.__name__} {module.__version__}"
    span = f"vidfold is tested with {oldest} to {newest}"
    install = f"pip install '{requirement(module.__name__)}'"
    if _numbers(module.__version__, oldest) < _numbers(oldest):
        raise ValueError(f"{found} is too old: {span}; {install}")
    if _numbers(module.__version__, newest) > _numbers(newest):
        warnings.warn(
            f"{found} is untested, results may be wrong without an error: {span}; {install}",
            UntestedVersion,
            stacklevel=3,
        )


def requirement(name: str) -> str:
    """The tested range as pip takes it: from the oldest version to before the one that follows the newest."""
    oldest, newest = TESTED[name]
    *first, last = _numbers(newest)
    following = ".".join(map(str, (*first, last + 1)))
    return f"{name}>={oldest},<{following}"


def _numbers(version: str, like: str | None = None) -> tuple[int, ...]:
    """The numbers of a version; as many as another one has, where that is given."""
    numbers = tuple(map(int, re.findall(r"\d+", version)))
    return numbers if like is None else numbers[: len(_numbers(like))]
