"""Which tokens a decoder layer's attention keeps: one row of attention, and the best of every video.

Serves decoder layers built as Qwen2's are: ``input_layernorm``, then ``self_attn`` with ``q_proj`` and ``k_proj``,
``q_norm`` and ``k_norm`` where it has them, and rotary embeddings given to every layer.
"""

import sys
from typing import Any

import torch
from torch import Tensor, nn


def check_layer(layer: nn.Module) -> None:
    """Raise a ValueError where a decoder layer lacks what `attention_of` reads."""
    attention = getattr(layer, "self_attn", None)
    wanted: dict[str, object] = {"input_layernorm": layer, "apply_rotary_pos_emb": _module(attention)}
    wanted |= dict.fromkeys(("q_proj", "k_proj", "head_dim", "scaling"), attention)
    missing = [name for name, owner in wanted.items() if not hasattr(owner, name)]
    if missing:
        raise ValueError(
            f"{type(layer).__name__} has no {', '.join(missing)}: methods inside the language model know decoder "
            "layers built as Qwen2's are"
        )


@torch.no_grad()
def attention_of(
    layer: Any, hidden: Tensor, embeddings: tuple[Tensor, Tensor], query: Tensor, visible: Tensor
) -> Tensor:
    """Attention that one token of each row pays to all, mean over the heads of a decoder layer that has yet to run.

    Costs the layer's query and key projections and one row of softmax(q·kᵀ); no attention matrix is made.

    Args:
        layer: the decoder layer; its own norms, projections and rotary embedding are used.
        hidden: (B, L, D) states as they enter the layer.
        embeddings: cosines and sines of the rotary embedding, (..., B or 1, L, E) each.
        query: (B,) int64, which token of each row asks.
        visible: (B, L) bool, the tokens it may see, itself among them.

    Returns:
        (B, L) float32; every row sums to 1.
    """
    at = query[:, None]
    states = layer.input_layernorm(hidden)
    cos, sin = embeddings
    keys = _heads(layer.self_attn, "k", states, cos, sin)
    queries = _heads(layer.self_attn, "q", take(states, at), take(cos, at), take(sin, at))
    grouped = queries.float().view(*keys.shape[:2], -1, keys.shape[-1])
    scores: Tensor = grouped @ keys.float().mT * layer.self_attn.scaling
    return scores.masked_fill(~visible[:, None, None], -torch.inf).softmax(-1).mean((1, 2))


def best(scores: Tensor, segments: Tensor, limits: Tensor) -> Tensor:
    """The highest scores of every segment; of equal ones, the first.

    Args:
        scores: (B, L).
        segments: (B, L) int64, the segment each token belongs to.
        limits: (S,) int64, how many tokens each segment keeps in every row.

    Returns:
        (B, L) bool.
    """
    order = scores.argsort(dim=1, descending=True, stable=True)
    grouped = segments.gather(1, order).sort(dim=1, stable=True)
    rank = torch.arange(scores.shape[1], device=scores.device) - torch.searchsorted(grouped.values, grouped.values)
    keep = rank < limits[grouped.values]
    return torch.zeros_like(keep).scatter(1, order.gather(1, grouped.indices), keep)


def take(values: Tensor, index: Tensor) -> Tensor:
    """Tokens (..., B, M, C) at positions (B, M) of values (..., B or 1, L, C)."""
    rows = values.expand(*values.shape[:-3], index.shape[0], *values.shape[-2:])
    return rows.gather(-2, index[..., None].expand(*rows.shape[:-2], index.shape[1], rows.shape[-1]))


def _heads(attention: Any, kind: str, states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Queries or keys (B, H, L, E) of an attention module, as it hands them to its attention function."""
    heads = getattr(attention, f"{kind}_proj")(states).unflatten(-1, (-1, attention.head_dim))
    norm = getattr(attention, f"{kind}_norm", None)
    heads = (heads if norm is None else norm(heads)).transpose(1, 2)
    rotated: Tensor = _module(attention).apply_rotary_pos_emb(heads[:, :0], heads, cos, sin)[1]
    return rotated


def _module(part: object) -> Any:
    """The module of transformers that defines a part's class, and beside it the rotary embedding."""
    return sys.modules[type(part).__module__]
