"""The settings of a panel: a registry method at a retention, or a given method unchanged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

from vidfold.reducers import Reducer, get
from vidfold.reducers.inner import InnerReducer
from vidfold.tiny.evaluate import Setting
from vidfold.tokens import VideoTokens


@dataclass(frozen=True, eq=False)
class Entry:
    """One setting of a panel.

    Attributes:
        label: key of its score.
        needs: the optional fields of `VideoTokens` that it gets, and no others.
        make: makes the method for one video, from its tokens and the seed of its clip.
    """

    label: str
    needs: frozenset[str]
    make: Callable[[VideoTokens, int], Reducer]

    @classmethod
    def named(cls, method: str, retention: float, label: str | None = None, **settings: object) -> Entry:
        """A registry method as made by `vidfold.tiny.evaluate.Setting`, with more fields set.

        Raises:
            ValueError: an unknown method, a retention out of range, or a method that works inside the language model.
        """
        setting = Setting(method, retention)
        example = _outside(get(method, **settings))

        def make(tokens: VideoTokens, seed: int) -> Reducer:
            return replace(setting.reducer(tokens, seed), **settings)  # type: ignore[arg-type]

        return cls(label or f"{method} {retention:g}", example.needs, make)

    @classmethod
    def of(cls, label: str, reducer: Reducer) -> Entry:
        """A given method unchanged; a random method gets each clip's seed in place of its own."""
        drawn = any(field.name == "seed" for field in fields(_outside(reducer)))

        def make(tokens: VideoTokens, seed: int) -> Reducer:
            return replace(reducer, **{"seed": seed}) if drawn else reducer

        return cls(label, reducer.needs, make)


def _outside(reducer: Reducer) -> Reducer:
    if isinstance(reducer, InnerReducer):
        raise ValueError(f"{reducer.name} works inside the language model; a panel needs methods that fold before it")
    return reducer
