"""Every method by class and by name."""

from __future__ import annotations

from dataclasses import fields

from vidfold.reducers.aot import AOT
from vidfold.reducers.aot_reference import AOTReference
from vidfold.reducers.base import BudgetedReducer, Reducer
from vidfold.reducers.identity import Identity
from vidfold.reducers.random import Random

METHODS: dict[str, type[Reducer]] = {method.name: method for method in (AOT, AOTReference, Identity, Random)}
"""Name -> class of every method."""


def get(name: str, **settings: object) -> Reducer:
    """The method called ``name`` with its fields set, e.g. ``get("aot", retention=0.1)``.

    Raises:
        ValueError: no such method, no such field, or a value the method refuses.
    """
    try:
        method = METHODS[name]
    except KeyError:
        raise ValueError(f"unknown method {name!r}; there are: {', '.join(sorted(METHODS))}") from None
    known = {field.name for field in fields(method)}
    if unknown := sorted(settings.keys() - known):
        raise ValueError(f"{name} has no field {unknown[0]!r}; it has: {', '.join(sorted(known)) or 'none'}")
    return method(**settings)


__all__ = ["AOT", "METHODS", "AOTReference", "BudgetedReducer", "Identity", "Random", "Reducer", "get"]
