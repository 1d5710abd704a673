"""Attention for training on a CPU: torch's forward, and a backward in chunks that fit in the cache.

On a CPU, torch's backward of scaled dot product attention would take most of a training step of this small model.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "vidfold_chunked"
_CACHED = 1 << 19  # attention weights of one chunk


class _ChunkedAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float) -> Tensor:
        ctx.save_for_backward(query, key, value, mask)
        ctx.scale = scale
        return scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        query, key, value, mask = ctx.saved_tensors
        bias, q, k, v, grad = _flatten(mask, query * ctx.scale, key, value, grads[0])
        dq, dk, dv = torch.empty_like(q), torch.empty_like(q), torch.empty_like(q)
        for part in _chunks(q):
            weights = torch.baddbmm(bias, q[part], k[part].mT).softmax(-1)
            torch.bmm(weights.mT, grad[part], out=dv[part])
            slope = torch.bmm(grad[part], v[part].mT)
            slope = torch._softmax_backward_data(slope, weights, -1, weights.dtype)
            torch.bmm(slope, k[part], out=dq[part])
            torch.bmm(slope.mT, q[part], out=dk[part])
        dq *= ctx.scale
        return dq.view(query.shape), dk.view(query.shape), dv.view(query.shape), None, None


def _flatten(mask: Tensor | None, *tensors: Tensor) -> list[Tensor]:
    """The bias to add to attention logits, then the tensors with batch and heads as one dimension."""
    bias = tensors[0].new_zeros(()) if mask is None else mask[0].to(tensors[0].dtype)
    return [bias, *(tensor.reshape(-1, *tensor.shape[2:]) for tensor in tensors)]


def _chunks(rows: Tensor) -> Iterator[slice]:
    size = max(1, _CACHED // rows.shape[1] ** 2)
    return (slice(start, start + size) for start in range(0, len(rows), size))


def chunked_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface: (B, heads, S, head size) in, (B, S, heads, head size) out.

    ``attention_mask`` is None or one additive (1, 1, S, S) mask for the whole batch; queries and keys have the same
    length S.
    """
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    inputs = (query.to(value.dtype), key.to(value.dtype), value, attention_mask, scale)
    out: Tensor = _ChunkedAttention.apply(*inputs)  # type: ignore[no-untyped-call]
    return out.transpose(1, 2), None


def use_chunked_attention(model: "PreTrainedModel") -> None:
    """Makes every attention layer of a transformers model use ``chunked_attention``."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(NAME, chunked_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)
