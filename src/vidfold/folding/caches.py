"""Caches that folded calls filled: shorter than the prompt that was given, and what a later call may bring to one."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vidfold.models.cache import held, noted
from vidfold.models.prompts.shorten import real

MARK = "folded_prompt"
"""Attribute of a cache, and of its copies, with the `Prompt` that it holds."""


@dataclass(frozen=True, eq=False)
class Prompt:
    """A prompt that a cache holds in its shortened form.

    Attributes:
        ids: (B, L), as given.
        short: (B, M), as read.
        mask: (B, M) of ``short``, or None: all are real.
        shift: how much higher positions of later tokens are where they are counted behind the prompt as given, int or
            (..., B or 1, 1) int64.
        numbered: whether the family numbered the prompt, as models do that count later positions from its last one.
    """

    ids: Tensor
    short: Tensor
    mask: Tensor | None
    shift: Tensor | int
    numbered: bool

    @classmethod
    def of(cls, given: Mapping[str, Any], spliced: Mapping[str, Any]) -> "Prompt":
        """The prompt of a call, from its inputs and what they became."""
        ids, short, mask = given["input_ids"], spliced["input_ids"], spliced.get("attention_mask")
        shift: Tensor | int = ids.shape[1] - short.shape[1]
        own = given.get("position_ids")
        if numbered := own is None and "position_ids" in spliced:
            shift = real(given).sum(1, keepdim=True) - real(spliced).sum(1, keepdim=True)
        elif own is not None:
            shift = own[..., -1:] - spliced["position_ids"][..., -1:]
        return cls(ids, short, mask if mask is None or mask.ndim == 2 else None, shift, numbered)

    @property
    def unchanged(self) -> bool:
        """Whether nothing was dropped: the cache is one of the unfolded model."""
        return self.ids.shape == self.short.shape and torch.equal(self.ids, self.short)

    def check_turn(self, inputs: Mapping[str, Any], held: int) -> None:
        """Raise a ValueError where the mask of a call of ``generate`` over the cache does not count the cache.

        The call would take its first tokens for those in there.
        """
        ids, mask = inputs.get("input_ids"), inputs.get("attention_mask")
        new = 0 if ids is None else ids.shape[1]
        if not self.unchanged and (mask is None or mask.shape[1] != held + new):
            raise ValueError(refusal(held))

    def continued(self, inputs: dict[str, Any], held: int) -> dict[str, Any]:
        """Inputs of a forward over the cache, whose mask and positions may be those of the prompt as given.

        Args:
            inputs: of new tokens; a mask of queries and keys is that of the cache.
            held: tokens in the cache.

        Raises:
            ValueError: a mask of neither length, or positions without a mask, which may be of either prompt.
        """
        tokens = next((inputs[name] for name in ("input_ids", "inputs_embeds") if inputs.get(name) is not None), None)
        mask, positions = inputs.get("attention_mask"), inputs.get("position_ids")
        of_cache = mask is not None and (not isinstance(mask, Tensor) or mask.ndim != 2)
        if tokens is None or of_cache or self.unchanged:
            return inputs
        length, width = held + tokens.shape[1], self.short.shape[1]
        longer = length + self.ids.shape[1] - width
        if mask is None and (positions is None or self.numbered):
            if self.mask is None or bool(self.mask.all()):
                return inputs
            mask = self.ids.new_ones(len(tokens), longer)
        if mask is None or mask.shape[1] not in (length, longer):
            raise ValueError(
                f"over a folded cache of {held} tokens, {tokens.shape[1]} new ones need an attention_mask of {length} "
                f"columns, or of {longer} for the prompt as it was given; got {mask if mask is None else mask.shape[1]}"
            )
        short = mask.new_ones(self.short.shape) if self.mask is None else self.mask.to(mask)
        short = short.repeat_interleave(len(mask) // len(short), 0)
        if mask.shape[1] == length and (longer != length or torch.equal(mask[:, :width], short)):
            return inputs
        changed = {"attention_mask": torch.cat([short, mask[:, self.ids.shape[1] :]], 1)}
        if positions is not None:
            changed["position_ids"] = positions - self.shift
        return inputs | changed


def refusal(held: int) -> str:
    """Why a call with a prompt over a folded cache of so many tokens is refused."""
    return (
        f"the cache of the call holds {held} tokens: a folded cache is shorter than its prompt and cannot be continued "
        "with one; read the video once and chat (Folded.read), give the whole conversation and the video without a "
        f"cache, or only the new tokens and an attention_mask of {held} columns more"
    )


def remember(cache: Any, prompt: Prompt | None) -> None:
    """Note what prompt a cache holds; where either is None, nothing."""
    if cache is not None and prompt is not None:
        setattr(cache, MARK, prompt)


@contextmanager
def continuing(cache: Any, inputs: Mapping[str, Any]) -> Iterator[None]:
    """A checked call of ``generate`` with the cache, within which all masks and positions are those of the cache."""
    prompt: Prompt | None = noted(cache, MARK)
    if prompt is not None:
        prompt.check_turn(inputs, held(cache))
        delattr(cache, MARK)
    try:
        yield
    finally:
        if prompt is not None:
            remember(cache, prompt)
