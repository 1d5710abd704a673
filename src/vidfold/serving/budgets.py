"""The budget of one request: read from its ``mm_processor_kwargs``, and carried with its videos to the model."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vidfold.reducers import BudgetedReducer, Identity
from vidfold.serving.methods import check_exact
from vidfold.tokens import Reduction, VideoTokens

NAMES = ("retention", "tokens")
"""What a request may set."""


def split(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The budget among a request's ``mm_processor_kwargs``, and the others, which the model's own processor reads."""
    budget = {name: settings[name] for name in NAMES if name in settings}
    return budget, {name: value for name, value in settings.items() if name not in NAMES}


def of_request(method: BudgetedReducer | None, budget: Mapping[str, Any]) -> BudgetedReducer | None:
    """The server's method with a request's budget; None where the server folds nothing.

    Raises:
        ValueError: a budget that the method refuses, or that nothing would read.
    """
    if not budget:
        return method
    given = ", ".join(f"{name}={value!r}" for name, value in budget.items())
    if method is None:
        raise ValueError(
            f"this server does not fold videos, so mm_processor_kwargs must not have {given}: start it with "
            "--video-pruning-rate 0.9 --video-pruning-method aot"
        )
    if len(budget) > 1:
        raise ValueError(f"mm_processor_kwargs must have retention or tokens, not both: got {given}")
    chosen = _with(method, budget)
    check_exact(chosen)
    return chosen


def carried(method: BudgetedReducer) -> Tensor:
    """The budget as two numbers (2,) float64: retention and tokens, NaN for the one that is not set."""
    numbers = (method.retention, method.tokens)
    return torch.tensor([math.nan if each is None else each for each in numbers], dtype=torch.float64)


def folded(method: BudgetedReducer, budget: Tensor, video: VideoTokens) -> Reduction:
    """A video folded by the server's method with a budget that was `carried`; a budget of all tokens costs nothing."""
    chosen = restored(method, budget)
    whole = chosen.count(video.frames, video.cells) == video.frames * video.cells
    return (Identity() if whole else chosen)(video)


def restored(method: BudgetedReducer, budget: Tensor) -> BudgetedReducer:
    """The method with a budget that was `carried`."""
    retention, tokens = budget.tolist()
    return _with(method, {"retention": retention} if math.isnan(tokens) else {"tokens": int(tokens)})


def _with(method: BudgetedReducer, budget: Mapping[str, Any]) -> BudgetedReducer:
    settings: dict[str, Any] = {name: budget.get(name) for name in NAMES}
    return dataclasses.replace(method, **settings)
