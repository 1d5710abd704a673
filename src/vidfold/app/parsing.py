"""Values written as words, as command lines and settings hold them."""

from __future__ import annotations

import ast


def literal(value: object) -> object:
    """Text as the Python literal it spells, also ``true``, ``false`` and ``none`` in any case; all else unchanged."""
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value.capitalize() if value.lower() in ("true", "false", "none") else value)
    except (ValueError, SyntaxError):
        return value
