"""Which methods vLLM can serve, and the method that a server is started with."""

import json
from collections.abc import Mapping
from dataclasses import fields

from vidfold.checks import check_known
from vidfold.reducers import METHODS, BudgetedReducer, Reducer, get
from vidfold.reducers.base import RETENTION

SERVED: tuple[str, ...] = tuple(sorted(name for name, method in METHODS.items() if issubclass(method, BudgetedReducer)))
"""Names of the methods with an exact budget: vLLM lays out the places of a video before its tower has seen it."""
FIELDS = "--additional-config '{\"vidfold\": {FIELD: VALUE}}'"
"""How a server is given fields of its method."""


def started(name: str, rate: float, settings: Mapping[str, object]) -> BudgetedReducer:
    """The method of a server.

    Args:
        name: one of `SERVED`.
        rate: share of the tokens that vLLM is told to drop, in [0, 1); the retention is ``1 - rate``.
        settings: fields of the method. ``tokens`` among them takes the place of the retention.

    Raises:
        ValueError: a method that cannot be served, settings that it refuses or that make its count depend on the
            content, or a retention beside the rate.
    """
    check_known("vLLM cannot serve the method", name, SERVED)
    if "retention" in settings:
        raise ValueError(
            f"--video-pruning-rate says the retention, so {FIELDS} must not: got retention={settings['retention']!r}"
        )
    if not 0 < rate < 1:
        raise ValueError(f"--video-pruning-rate must be above 0 and below 1 to fold with {name!r}, got {rate!r}")
    # 1 - 0.9 is not 0.1 in binary; a rate has no more than a few digits.
    budget = {} if "tokens" in settings else {"retention": round(1 - rate, 9)}
    method = get(name, **settings, **budget)
    assert isinstance(method, BudgetedReducer)
    check_exact(method)
    return method


def options(method: Reducer) -> list[str]:
    """Options of a server's command line that give it this method; the inverse of `started`.

    Raises:
        ValueError: a method that cannot be served, or one that keeps all tokens.
    """
    changed = {each.name: getattr(method, each.name) for each in fields(method)}
    changed = {each.name: changed[each.name] for each in fields(method) if changed[each.name] != each.default}
    retention = changed.pop("retention", RETENTION)
    # With a number of tokens, any rate switches folding on.
    rate = 0.5 if retention is None else round(1 - retention, 9)
    started(method.name, rate, changed)
    told = ["--video-pruning-method", method.name, "--video-pruning-rate", str(rate)]
    return [*told, "--additional-config", json.dumps({"vidfold": changed})] if changed else told


def check_exact(method: BudgetedReducer) -> None:
    """Raise a ValueError where the count depends on the content: vLLM must know it beforehand."""
    if not method.exact:
        raise ValueError(
            f"the count of {method!r} depends on the video's content, but vLLM lays out its places beforehand: "
            f"leave out what makes it so, such as original=True, in {FIELDS}"
        )


def check_needs(method: BudgetedReducer, gives: frozenset[str], served: str) -> None:
    """Raise a ValueError that lists the methods which ``served``, a model that ``gives`` these fields, can run."""
    if missing := sorted(method.needs - gives):
        able = [name for name in SERVED if not METHODS[name]().needs - gives]
        raise ValueError(
            f"{method.name} needs VideoTokens.{missing[0]}, which {served} does not give in vLLM; methods that it "
            f"serves: {', '.join(able)}"
        )
