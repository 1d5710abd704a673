"""Work of a model, computed from its sizes: operations of its matrix products, and the least bytes moved.

A multiply-add is two operations. Norms, softmax, activations and rotary embeddings are not counted. Least bytes:
weights and inputs read once, results written once, no intermediate values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Work:
    """Operations and least bytes moved; None if not defined."""

    operations: float | None
    bytes: float | None


@dataclass(frozen=True)
class Decoder:
    """Sizes of a dense language model with grouped-query attention and gated feed-forward layers (Qwen2, Llama).

    Attributes:
        layers: decoder layers.
        width: width of the hidden state.
        heads: query heads.
        shared: key and value heads.
        head: channels per head.
        inner: width of the feed-forward layer.
        vocabulary: rows of the language-model head.
    """

    layers: int
    width: int
    heads: int
    shared: int
    head: int
    inner: int
    vocabulary: int

    @classmethod
    def of(cls, config: Any) -> Decoder:
        """The sizes in a text config of transformers."""
        return cls(
            layers=config.num_hidden_layers,
            width=config.hidden_size,
            heads=config.num_attention_heads,
            shared=config.num_key_value_heads,
            head=getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
            inner=config.intermediate_size,
            vocabulary=config.vocab_size,
        )

    @property
    def _weights(self) -> int:
        """Weights of all layers: query and output, key and value, three feed-forward matrices."""
        attention = 2 * self.width * self.head * (self.heads + self.shared)
        return self.layers * (attention + 3 * self.width * self.inner)

    @property
    def _last(self) -> int:
        """Weights of the language-model head."""
        return self.width * self.vocabulary

    def papers_prefill(self, visual: float) -> float:
        """Prefill operations as the papers of the field count them: L (4 n d² + 2 n² d + 2 n d m).

        From FastV (ECCV 2024, arXiv 2403.06764), also used by HoliTom, FastVID and AOT. ``n`` counts visual tokens
        only, a multiply-add is one operation, there are as many key and value heads as query heads, a feed-forward
        layer has two matrices, and attention is not causal.
        """
        n, d, m = visual, self.width, self.inner
        return self.layers * (4 * n * d**2 + 2 * n**2 * d + 2 * n * d * m)

    def prefill(self, rows: int, length: int, width: int) -> Work:
        """``rows`` prompts of ``length`` tokens, up to the logits of the last token; ``width`` bytes per number.

        Attention is causal: token i attends to the i tokens up to itself.
        """
        pairs = length * (length + 1) // 2
        attention = 4 * self.layers * self.heads * self.head * pairs
        operations = rows * (2 * length * self._weights + attention + 2 * self._last)
        moved = self._weights + self._last + rows * length * (self.width + self._cached)
        return Work(operations, moved * width)

    def step(self, rows: int, cached: int, width: int) -> Work:
        """One more token for each of ``rows`` prompts with a cache of ``cached`` tokens."""
        attention = 4 * self.layers * self.heads * self.head * (cached + 1)
        operations = rows * (2 * (self._weights + self._last) + attention)
        return Work(operations, (self._weights + self._last + rows * cached * self._cached) * width)

    @property
    def _cached(self) -> int:
        """Numbers per token in the cache."""
        return 2 * self.layers * self.shared * self.head


@dataclass(frozen=True)
class Tower:
    """Sizes of a plain vision transformer and its projector of two matrices, before pooling.

    Attributes:
        layers: layers of the tower; all run, whichever one the features come from.
        patches: patches per frame.
        width: width of the hidden state.
        inner: width of the feed-forward layer, which has two matrices.
        pixels: numbers per patch.
        out: width of the projected tokens.
    """

    layers: int
    patches: int
    width: int
    inner: int
    pixels: int
    out: int

    @classmethod
    def of(cls, config: Any) -> Tower:
        """The sizes in a config of LLaVA-OneVision."""
        vision = config.vision_config
        return cls(
            layers=vision.num_hidden_layers,
            patches=(vision.image_size // vision.patch_size) ** 2,
            width=vision.hidden_size,
            inner=vision.intermediate_size,
            pixels=vision.num_channels * vision.patch_size**2,
            out=config.get_text_config().hidden_size,
        )

    @property
    def _weights(self) -> int:
        layer = 4 * self.width**2 + 2 * self.width * self.inner
        return self.layers * layer + self.pixels * self.width + self.out * (self.width + self.out)

    def encode(self, frames: int, groups: int, width: int) -> Work:
        """Encode frames in ``groups`` calls, each of which reads the weights once; ``width`` bytes per number."""
        attention = 4 * self.layers * self.patches**2 * self.width
        operations = frames * (2 * self.patches * self._weights + attention)
        return Work(operations, (groups * self._weights + frames * self.patches * (self.pixels + self.out)) * width)

    def received(self, frames: int, layers: int, width: int) -> Work:
        """Received attention of some layers: their query-key products once more."""
        operations = 2 * layers * frames * self.patches**2 * self.width
        return Work(operations, 2 * layers * frames * self.patches * self.width * width)

    def fold(self, frames: int, kept: int, width: int) -> Work:
        """Any fold: reads all features once and writes the kept tokens; operations depend on the method."""
        return Work(None, (frames * self.patches + kept) * self.out * width)
