"""Tower methods: what of a video a vision tower computes, by class and by name."""

from dataclasses import fields

from vidfold.checks import check_known
from vidfold.tower.plan import Plan, TowerMethod
from vidfold.tower.repeats import Repeats
from vidfold.tower.still import Still

TOWERS: dict[str, type[TowerMethod]] = {each.name: each for each in (Repeats, Still)}
"""Name -> class."""


def get(name: str, **settings: object) -> TowerMethod:
    """The tower method called ``name`` with its fields set, e.g. ``get("still", threshold=0.03)``.

    Raises:
        ValueError: no such method, no such field, or a value that it refuses.
    """
    check_known("unknown tower method", name, sorted(TOWERS))
    known = {field.name for field in fields(TOWERS[name])}
    if unknown := sorted(settings.keys() - known):
        raise ValueError(f"{name} has no field {unknown[0]!r}; it has: {', '.join(sorted(known)) or 'none'}")
    return TOWERS[name](**settings)


__all__ = ["TOWERS", "Plan", "Repeats", "Still", "TowerMethod", "get"]
