"""Work that a model must do, counted from its sizes: operations of its matrix products, and bytes moved at least.

A multiplication and the addition after it are two operations. Norms, softmax, activations and rotary embeddings are not
counted. Bytes at least are weights and inputs read once and results written once, with no value between in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Work:
    """Operations, and bytes moved at least; None where that is not defined."""

    operations: float | None
    bytes: float | None


@dataclass(frozen=True)
class Decoder:
    """Sizes of a dense language model with grouped-query attention and gated feed-forward layers (Qwen2, Llama).

    Attributes:
        layers: decoder layers.
        width: of the hidden state.
        heads: query heads.
        shared: key and value heads.
        head: channels a head.
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
        """Of all layers: queries and output, keys and values, three matrices of the feed-forward layer."""
        attention = 2 * self.width * self.head * (self.heads + self.shared)
        return self.layers * (attention + 3 * self.width * self.inner)

    @property
    def _last(self) -> int:
        """Weights of the language-model head."""
        return self.width * self.vocabulary

    def papers_prefill(self, visual: float) -> float:
        """Prefill operations as the papers of the field count them: L (4 n d² + 2 n² d + 2 n d m).

        Of FastV (ECCV 2024, arXiv 2403.06764), after it HoliTom, FastVID and AOT. ``n`` are the visual tokens alone, a
        multiply-add is one operation, keys and values have as many heads as queries, a feed-forward layer has two
        matrices, and all tokens see one another.
        """
        n, d, m = visual, self.width, self.inner
        return self.layers * (4 * n * d**2 + 2 * n**2 * d + 2 * n * d * m)

    def prefill(self, rows: int, length: int, width: int) -> Work:
        """A batch of ``rows`` prompts of ``length`` tokens, to the logits of the last one; numbers of ``width`` bytes.

        Causal attention: token i is counted with the i tokens up to itself, half the square.
        """
        pairs = length * (length + 1) // 2
        attention = 4 * self.layers * self.heads * self.head * pairs
        operations = rows * (2 * length * self._weights + attention + 2 * self._last)
        moved = self._weights + self._last + rows * length * (self.width + self._cached)
        return Work(operations, moved * width)

    def step(self, rows: int, cached: int, width: int) -> Work:
        """One further token for each of ``rows`` prompts over a cache of ``cached`` tokens."""
        attention = 4 * self.layers * self.heads * self.head * (cached + 1)
        operations = rows * (2 * (self._weights + self._last) + attention)
        return Work(operations, (self._weights + self._last + rows * cached * self._cached) * width)

    @property
    def _cached(self) -> int:
        """Numbers of a token in the cache."""
        return 2 * self.layers * self.shared * self.head


@dataclass(frozen=True)
class Tower:
    """Sizes of a plain vision transformer and of the projector behind it, of two matrices, before pooling.

    Attributes:
        layers: of the tower; all run, whichever the features come from.
        patches: a frame.
        width: of the hidden state.
        inner: width of the feed-forward layer, of two matrices.
        pixels: numbers of a patch.
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
        """Frames, given in ``groups`` that each read the weights once; numbers of ``width`` bytes."""
        attention = 4 * self.layers * self.patches**2 * self.width
        operations = frames * (2 * self.patches * self._weights + attention)
        return Work(operations, (groups * self._weights + frames * self.patches * (self.pixels + self.out)) * width)

    def received(self, frames: int, layers: int, width: int) -> Work:
        """Attention received in some layers: their products of queries and keys once more."""
        operations = 2 * layers * frames * self.patches**2 * self.width
        return Work(operations, 2 * layers * frames * self.patches * self.width * width)

    def fold(self, frames: int, kept: int, width: int) -> Work:
        """Any fold of all features: they are read once, what is kept is written; what is computed is the method's."""
        return Work(None, (frames * self.patches + kept) * self.out * width)
