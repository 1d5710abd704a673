"""Work of a model, computed from its config: operations of its matrix products, and the least bytes moved.

A multiply-add is two operations. Norms, softmax, activations and rotary embeddings are not counted. Least bytes:
weights and inputs read once, results written once, no intermediate values. ``width`` is bytes per number.

``text`` is the config of a dense language model with grouped-query attention and gated feed-forward layers (Qwen2,
Llama); ``config`` is that of a LLaVA-OneVision: its vision tower is a plain transformer, its projector two matrices.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Work:
    """Operations and least bytes moved; None if not defined."""

    operations: float | None
    bytes: float | None


def papers_prefill(text: Any, visual: float) -> float:
    """Prefill operations as the papers of the field count them: L (4 n d² + 2 n² d + 2 n d m).

    From FastV (ECCV 2024, arXiv 2403.06764), also used by HoliTom, FastVID and AOT. n is the number of visual tokens.
    A multiply-add is one operation, there are as many key and value heads as query heads, a feed-forward layer has two
    matrices, and attention is not causal.
    """
    n, d, m = visual, text.hidden_size, text.intermediate_size
    return float(text.num_hidden_layers * (4 * n * d**2 + 2 * n**2 * d + 2 * n * d * m))


def prefill(text: Any, rows: int, length: int, width: int) -> Work:
    """``rows`` prompts of ``length`` tokens, up to the logits of the last token. Attention is causal."""
    pairs = length * (length + 1) // 2
    operations = rows * (2 * length * _layers(text) + _pair(text) * pairs + 2 * _last(text))
    return Work(operations, (_layers(text) + _last(text) + rows * length * (text.hidden_size + _cached(text))) * width)


def step(text: Any, rows: int, cached: int, width: int) -> Work:
    """One more token for each of ``rows`` prompts with a cache of ``cached`` tokens."""
    weights = _layers(text) + _last(text)
    return Work(rows * (2 * weights + _pair(text) * (cached + 1)), (weights + rows * cached * _cached(text)) * width)


def encode(config: Any, frames: int, groups: int, width: int) -> Work:
    """All layers of the tower, and the projector before pooling; each of ``groups`` calls reads the weights once."""
    vision, out = config.vision_config, config.get_text_config().hidden_size
    size, pixels = vision.hidden_size, vision.num_channels * vision.patch_size**2
    layers = vision.num_hidden_layers * (4 * size**2 + 2 * size * vision.intermediate_size)
    weights = layers + pixels * size + out * (size + out)
    attention = 4 * vision.num_hidden_layers * patches(config) ** 2 * size
    moved = groups * weights + frames * patches(config) * (pixels + out)
    return Work(frames * (2 * patches(config) * weights + attention), moved * width)


def received(config: Any, frames: int, layers: int, width: int) -> Work:
    """Received attention of some layers of the tower: their query-key products once more."""
    rows, size = frames * patches(config), config.vision_config.hidden_size
    return Work(2 * layers * rows * patches(config) * size, 2 * layers * rows * size * width)


def fold(config: Any, frames: int, kept: int, width: int) -> Work:
    """Any fold: reads all features once and writes the kept tokens; operations depend on the method."""
    return Work(None, (frames * patches(config) + kept) * config.get_text_config().hidden_size * width)


def patches(config: Any) -> int:
    """Patches of a frame."""
    return int((config.vision_config.image_size // config.vision_config.patch_size) ** 2)


def _head(text: Any) -> int:
    """Channels of a head."""
    return int(getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads)


def _layers(text: Any) -> int:
    """Weights of all layers: query and output, key and value, three feed-forward matrices."""
    attention = 2 * _head(text) * (text.num_attention_heads + text.num_key_value_heads)
    return int(text.num_hidden_layers * text.hidden_size * (attention + 3 * text.intermediate_size))


def _last(text: Any) -> int:
    """Weights of the language-model head."""
    return int(text.hidden_size * text.vocab_size)


def _pair(text: Any) -> int:
    """Operations of the attention of all layers for one pair of tokens."""
    return int(4 * text.num_hidden_layers * text.num_attention_heads * _head(text))


def _cached(text: Any) -> int:
    """Numbers per token in the cache."""
    return int(2 * text.num_hidden_layers * text.num_key_value_heads * _head(text))
