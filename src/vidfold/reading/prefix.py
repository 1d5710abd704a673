"""What a language model has read, to go on from any number of times."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vidfold.models.base import Inputs
from vidfold.models.builds import state_of
from vidfold.models.cache import cache_argument, cache_of, held
from vidfold.models.calls import lengths, setting

Layers = tuple[tuple[Tensor, Tensor], ...]
"""Keys and values of every decoder layer, (1, heads, tokens, channels) each."""


@dataclass(frozen=True, eq=False, repr=False)
class Prefix:
    """Tokens that a language model has read, with their keys and values.

    Nothing here ever changes: every call goes on from copies, so calls do not see each other, and several threads may
    make them at once.

    Attributes:
        model: that read them.
        ids: (1, M) int64, all tokens so far, those of videos shortened. The last ones may not have been read yet.
        dropped: how many tokens the prompt lost.
        shift: how much higher positions are than a count of tokens, on all rotary axes (M-RoPE), (1, 1) int64; None
            where the model counts them one by one.
        layers: of the first tokens of ``ids``.
        state: of the model's weights when it read; see `vidfold.models.builds.state_of`.
    """

    model: Any
    ids: Tensor
    dropped: int
    shift: Tensor | None
    layers: Layers
    state: int

    @classmethod
    @torch.no_grad()
    def read(
        cls, model: Any, inputs: Inputs, *, dropped: int, following: Tensor | None, known: Layers = ()
    ) -> "Prefix":
        """Read one prompt.

        Args:
            model: the model.
            inputs: of its ``forward``, with ``input_ids`` (1, M) and no padding.
            dropped: how many tokens the prompt lost.
            following: the position that follows it, (1, 1) int64; None where positions are counted one by one.
            known: keys and values of its first tokens, from another prompt that begins alike: ``inputs`` are those of
                the others, but for ``input_ids``.
        """
        from transformers import DynamicCache

        cache = DynamicCache()
        for number, (keys, values) in enumerate(known):
            cache.update(keys, values, number)
        ids: Tensor = inputs["input_ids"]
        new = {"input_ids": ids[:, held(cache) :], "use_cache": True, "logits_to_keep": 1}
        model(**dict(inputs) | new | cache_argument(model, cache))
        shift = None if following is None else following - ids.shape[1]
        return cls(model, ids, dropped, shift, layers_of(cache), state_of(model))

    @property
    def tokens(self) -> int:
        """Tokens whose keys and values are here."""
        return self.layers[0][0].shape[2]

    @property
    def nbytes(self) -> int:
        """Memory of the keys and values."""
        return sum(part.nbytes for layer in self.layers for part in layer)

    def generate(self, input_ids: Tensor, attention_mask: Tensor | None = None, **settings: Any) -> Any:
        """What the model's ``generate`` answers when these tokens come next.

        Only they and the answer are computed. A batch is one call: its rows do not see each other. ``max_length`` and
        ``min_length`` count the whole prompt as it was given; logits processors, stopping criteria and streamers see
        the shortened one.

        Args:
            input_ids: (B, Q) int64.
            attention_mask: (B, Q), 0 at padding on the left; None: there is none.
            settings: of ``generate``, also beams, samples and streamers. The cache is a dynamic one, or with
                ``cache_implementation="static"`` and for one question on a CPU a static one, or any empty one that is
                given as ``past_key_values``.

        Returns:
            As ``generate``: (B, Q + new) int64, or its output object with such ``sequences``.

        Raises:
            ValueError: no tokens, padding on the right, pixels, a cache that is not empty, assisted generation, or a
                model whose weights have changed since.
        """
        self.check_unchanged()
        mask = _checked(input_ids, attention_mask)
        if unknown := sorted(name for name in settings if name.startswith(("pixel_values", "inputs_embeds"))):
            raise ValueError(f"{unknown[0]} came with a question about a video that was read: give input_ids alone")
        ids = torch.cat([self.ids.to(input_ids).expand(len(input_ids), -1), input_ids], 1)
        mask = torch.cat([mask.new_ones(len(ids), self.ids.shape[1]), mask], 1)
        default = self.model.generation_config
        for name in _ASSISTED:
            if setting(settings, default, name) is not None:
                raise ValueError(f"{name} came with a question: assisted generation cannot go on from a cache")
        settings |= lengths(settings, default, self.dropped)
        settings = self._with_cache(settings, len(ids), ids.shape[1])
        if self.shift is not None:
            text = (mask.cumsum(1) - 1).clamp(min=0)
            settings["position_ids"] = torch.stack([text, *[text + self.shift.to(text)] * 3])
        output = self.model.generate(input_ids=ids, attention_mask=mask, **settings)
        if isinstance(output, Tensor):
            return output[:, self.ids.shape[1] :]
        output.sequences = output.sequences[:, self.ids.shape[1] :]
        return output

    def after(self, new: Tensor, cache: Any) -> "Prefix":
        """What has been read when ``new`` (1, N) came next, and the cache that a call with it left."""
        plain = type(cache).__name__ in ("DynamicCache", "StaticCache") and not any(cache.is_sliding)
        layers = layers_of(cache) if plain else ()
        if not layers or len(layers[0][0]) != 1:  # rows of beams, or keys that are not kept as they are
            layers = self.layers
        return Prefix(self.model, torch.cat([self.ids, new], 1), self.dropped, self.shift, layers, self.state)

    def check_unchanged(self) -> None:
        """Raise a ValueError where the model's weights are not those that read this."""
        if state_of(self.model) != self.state:
            raise ValueError(
                f"the weights of this {type(self.model).__name__} have changed, or moved, since the video was read: "
                "read it again"
            )

    def _with_cache(self, settings: Mapping[str, Any], rows: int, length: int) -> dict[str, Any]:
        """Settings with a filled cache in the place of what they say of one, for prompts (rows, length)."""
        from transformers import DynamicCache, StaticCache

        default, rest = self.model.generation_config, dict(settings)
        if rest.get("use_cache") is False:
            raise ValueError("use_cache=False: a video that was read is its cache; fold and ask in one call instead")
        rows *= max(setting(rest, default, name) or 1 for name in ("num_beams", "num_return_sequences"))
        new, longest = (setting(rest, default, name) for name in ("max_new_tokens", "max_length"))
        most = length + new if new is not None else longest or length + 20
        kind = setting(rest, default, "cache_implementation")
        if kind is None and rows == 1 and most <= 2 * length and self.layers[0][0].device.type == "cpu":
            # PyTorch attends head by head there, unless there is a mask: then transformers packs heads that share keys.
            # A layer of 14 heads and 680 tokens takes 1.0 ms a new token without it and 0.1 with it, in bfloat16.
            kind = "static"
        cache = cache_of(rest)
        if cache is not None:
            if held(cache):
                raise ValueError(f"the cache of the call holds {held(cache)} tokens: give an empty one")
        elif kind == "static":
            config = self.model.config.get_text_config(decoder=True)
            cache = StaticCache(config, max_cache_len=max(most, setting(rest, default, "max_cache_len") or 0))
        elif kind in (None, "dynamic"):
            cache = DynamicCache()
        else:
            raise ValueError(f"cache_implementation={kind!r} cannot be filled: give an empty cache as past_key_values")
        for number, (keys, values) in enumerate(self.layers):
            cache.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), number)
        for name in ("cache", "past_key_values", "cache_implementation"):
            rest.pop(name, None)
        config = rest.get("generation_config")
        if config is not None and config.cache_implementation is not None:
            rest["generation_config"] = copy.copy(config)
            rest["generation_config"].cache_implementation = None
        return rest | {"past_key_values": cache}


_ASSISTED = ("assistant_model", "prompt_lookup_num_tokens", "assistant_early_exit")
"""Settings of ``generate`` whose first step reads the whole prompt, whatever the cache holds."""


def layers_of(cache: Any) -> Layers:
    """Keys and values of the tokens in a cache without sliding windows."""
    length = held(cache)
    return tuple(
        (layer.keys[:, :, :length].contiguous(), layer.values[:, :, :length].contiguous()) for layer in cache.layers
    )


def _checked(input_ids: Tensor, mask: Tensor | None) -> Tensor:
    """The mask (B, Q) of the tokens of a call."""
    if not isinstance(input_ids, Tensor) or input_ids.ndim != 2 or 0 in input_ids.shape:
        shape = tuple(input_ids.shape) if isinstance(input_ids, Tensor) else type(input_ids).__name__
        raise ValueError(f"input_ids must be (questions, tokens), at least one of each, got {shape}")
    if mask is None:
        return torch.ones_like(input_ids)
    if mask.shape != input_ids.shape:
        raise ValueError(f"attention_mask must be {tuple(input_ids.shape)} as input_ids are, got {tuple(mask.shape)}")
    if not bool((mask[:, -1] != 0).all()) or bool((mask[:, 1:] < mask[:, :-1]).any()):
        raise ValueError("attention_mask must be 0 on the left alone: pad questions on the left")
    return mask
