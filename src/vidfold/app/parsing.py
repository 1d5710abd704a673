"""Python values from the text of command lines and settings."""

import ast


def literal(value: object) -> object:
    """The value of a text that is a Python literal, or true, false or none in any case; all else unchanged."""
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value.capitalize() if value.lower() in ("true", "false", "none") else value)
    except (ValueError, SyntaxError):
        return value
