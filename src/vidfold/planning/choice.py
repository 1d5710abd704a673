"""The choice of frames and tokens that a budget pays for."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from vidfold.checks import check_count, check_positive
from vidfold.planning.costs import Costs

SHARE = 1 / 24
"""Least share of a frame's tokens that the planner keeps of each; see `plan`."""
MOST = 256
"""Frames taken at most, unless said otherwise."""


@dataclass(frozen=True)
class Option:
    """F frames folded to K tokens, and what that costs.

    Attributes:
        frames: F.
        tokens: K.
        stages: stage -> seconds, up to the first token of the answer.
        memory: bytes.
    """

    frames: int
    tokens: int
    stages: dict[str, float]
    memory: int

    @property
    def seconds(self) -> float:
        """Seconds up to the first token of the answer."""
        return sum(self.stages.values())


@dataclass(frozen=True)
class Plan:
    """Options that keep within a budget, fewest frames first, and the one that is chosen.

    Attributes:
        options: what was compared.
        chosen: one of them.
    """

    options: tuple[Option, ...]
    chosen: Option

    @property
    def frames(self) -> int:
        """Frames to sample."""
        return self.chosen.frames

    @property
    def tokens(self) -> int:
        """Tokens to fold them to: ``AOT(tokens=plan.tokens)``."""
        return self.chosen.tokens

    def __str__(self) -> str:
        best = self.chosen
        stages = ", ".join(f"{name} {value:.2g}" for name, value in best.stages.items() if value)
        return (
            f"{best.frames} frames at {best.tokens / best.frames:.1f} tokens: {best.tokens:,} tokens, "
            f"about {best.seconds:.2g} s: {stages}"
        )


def plan(
    costs: Costs,
    *,
    tokens: int | None = None,
    seconds: float | None = None,
    memory: int | None = None,
    frames: int = MOST,
    decode: float = 0.0,
) -> Plan:
    """Choose frames and tokens within a budget.

    At a given number of tokens, more frames show more and each of them in less detail. The planner takes the most
    frames, of 1, 2, 4, 8 and so on, that leave each a `SHARE` of its tokens, and then as many tokens as the budget pays
    for. In small synthetic worlds this was near the best at 16 to 288 tokens (benchmarks/budget.md).

    Args:
        costs: of the model on this machine.
        tokens: K, exactly, or all tokens of the frames if these are fewer.
        seconds: to the first token of the answer, at most.
        memory: bytes, at most.
        frames: that the video has, or that are wanted at most.
        decode: seconds to decode a frame.

    Raises:
        ValueError: no budget, or one that nothing meets; the message says the least possible.
    """
    check_count("frames", frames)
    if tokens is None and seconds is None and memory is None:
        raise ValueError("give a budget: tokens, seconds or memory")
    if tokens is not None:
        check_count("tokens", tokens)
    for name, value in (("seconds", seconds), ("memory", memory)):
        if value is not None:
            check_positive(name, value)

    def option(count: int, kept: int) -> Option:
        return Option(count, kept, {"decode": decode * count} | costs.seconds(count, kept), costs.memory(count, kept))

    def fits(found: Option) -> bool:
        return (seconds is None or found.seconds <= seconds) and (memory is None or found.memory <= memory)

    def best(count: int) -> Option:
        full = count * costs.cells
        return option(count, min(tokens, full) if tokens else _most(full, lambda kept: fits(option(count, kept))))

    counts = sorted({min(frames, 1 << power) for power in range(math.ceil(math.log2(frames)) + 1)})
    options = [each for each in map(best, counts) if each.tokens and fits(each)]
    if not options:
        least = option(1, 1 if tokens is None else min(tokens, costs.cells))
        raise ValueError(
            f"no plan is within {_told(tokens, seconds, memory)}: the least is {least.frames} frame at {least.tokens} "
            f"tokens, which takes {least.seconds:.2g} s and {least.memory / 1e9:.3g} GB"
        )
    detailed = [each for each in options if each.frames <= paid_for(each.tokens, costs.cells, frames)]
    return Plan(tuple(options), detailed[-1] if detailed else options[0])


def paid_for(tokens: int, cells: int, frames: int = MOST) -> int:
    """How many frames to fold to K tokens: as `plan`, without costs.

    Args:
        tokens: K.
        cells: N, tokens of a frame.
        frames: that the video has, or that are wanted at most.
    """
    return min(frames, 1 << int(math.log2(max(1, tokens / (cells * SHARE)))))


def _most(full: int, fits: Callable[[int], bool]) -> int:
    """The largest number from 1 to ``full`` that fits, where all smaller ones do as well; 0 if none does."""
    low, high = 0, full
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _told(tokens: int | None, seconds: float | None, memory: int | None) -> str:
    told = [] if tokens is None else [f"{tokens} tokens"]
    told += [] if seconds is None else [f"{seconds:g} s"]
    told += [] if memory is None else [f"{memory / 1e9:.3g} GB"]
    return " and ".join(told)
