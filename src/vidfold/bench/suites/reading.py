"""All questions of a clip in one sequence behind its visual tokens, so that these are read once.

The sequence is ``<|im_start|> user``, the visual tokens with the newline, then every question with its turn.  No
question sees another, and positions start anew with each, so each is read as if it stood alone in a chat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.functional import scaled_dot_product_attention
from torch.nn.utils.rnn import pad_sequence

from vidfold.tiny.language import VOCABULARY, encode
from vidfold.tiny.packing import PREFIX, TURN
from vidfold.tiny.questions import KINDS, questions
from vidfold.tiny.scenes import Clip

if TYPE_CHECKING:
    from transformers import LlavaOnevisionForConditionalGeneration, Qwen2Model


@dataclass(frozen=True, eq=False)
class Asked:
    """The Q questions of one clip, L tokens in all.

    Attributes:
        ids: (L,) int64, the words of all questions, each up to where its answer is predicted.
        slots: (L,) int64, the number of the question that a token belongs to.
        offsets: (L,) int64, its place in that question.
        ends: (Q,) int64, where the answers are predicted.
        kinds: (Q,) int64, places in ``KINDS``.
        truth: (Q,) int64, the true answers.
    """

    ids: Tensor
    slots: Tensor
    offsets: Tensor
    ends: Tensor
    kinds: Tensor
    truth: Tensor

    @classmethod
    def of(cls, clip: Clip) -> Asked:
        """All questions about a clip."""
        asked = questions(clip)
        texts = [(*encode(question.text), *TURN) for question in asked]
        lengths = torch.tensor([len(text) for text in texts])
        return cls(
            ids=torch.tensor([token for text in texts for token in text]),
            slots=torch.arange(len(texts)).repeat_interleave(lengths),
            offsets=torch.cat([torch.arange(len(text)) for text in texts]),
            ends=lengths.cumsum(0) - 1,
            kinds=torch.tensor([KINDS.index(question.kind) for question in asked]),
            truth=torch.tensor([VOCABULARY[question.answer] for question in asked]),
        )

    def __len__(self) -> int:
        return len(self.ids)

    def counts(self, chosen: Tensor | None = None) -> Tensor:
        """Questions of each kind, (kinds,) int64: all of them, or those ``chosen`` (Q,) bool."""
        return torch.bincount(self.kinds if chosen is None else self.kinds[chosen], minlength=len(KINDS))


def right(model: LlavaOnevisionForConditionalGeneration, visual: Tensor, asked: Sequence[Asked]) -> list[Tensor]:
    """Right answers of each kind, (kinds,) int64, to the questions of every row over ``visual`` tokens (B, K, D)."""
    told = scores(model, visual, asked)
    return [each.counts(logits.argmax(-1) == each.truth) for each, logits in zip(asked, told, strict=True)]


def scores(model: LlavaOnevisionForConditionalGeneration, visual: Tensor, asked: Sequence[Asked]) -> list[Tensor]:
    """Logits (Q, words) of the answers to the questions of every row over ``visual`` tokens (B, K, D)."""
    embed = model.get_input_embeddings()
    device = visual.device
    prefix = embed(torch.tensor(PREFIX, device=device)).expand(len(asked), -1, -1)
    newline = model.model.image_newline.expand(len(asked), 1, -1).to(visual)
    shared = torch.cat([prefix, visual, newline], 1)
    ids, slots, offsets, ends = (
        pad_sequence(rows, batch_first=True, padding_value=padding).to(device)
        for rows, padding in (
            ([each.ids for each in asked], 0),
            ([each.slots for each in asked], -1),
            ([each.offsets for each in asked], 0),
            ([each.ends for each in asked], 0),
        )
    )
    states = _last_states(model.model.language_model, shared, embed(ids), slots, offsets, ends)
    logits = model.lm_head(states).cpu()
    return [row[: len(each.ends)] for row, each in zip(logits, asked, strict=True)]


def _last_states(
    language: Qwen2Model, shared: Tensor, words: Tensor, slots: Tensor, offsets: Tensor, ends: Tensor
) -> Tensor:
    """What the language model knows where answers begin, (B, Q, D).

    Its own layers, but what no answer reads is left out: attention between questions, and all but keys and values in
    the last layer.

    Args:
        language: a Qwen2 decoder without sliding windows.
        shared: (B, n, D), what all questions see.
        words: (B, L, D) all questions.
        slots: (B, L) the question that each word belongs to.
        offsets: (B, L) its place there.
        ends: (B, Q) where the answers begin.
    """
    count = shared.shape[1]
    mask = _mask(slots, count, words.dtype)
    before = _rotation(language, shared, torch.arange(count, device=shared.device)[None])
    behind = _rotation(language, words, count + offsets)
    for number, layer in enumerate(language.layers, start=1):
        attention, normal, asking = layer.self_attn, layer.input_layernorm(shared), layer.input_layernorm(words)
        keys = _rotated(_heads(attention.k_proj, normal, attention), before)
        values = _heads(attention.v_proj, normal, attention)
        all_keys = torch.cat([keys, _rotated(_heads(attention.k_proj, asking, attention), behind)], 2)
        all_values = torch.cat([values, _heads(attention.v_proj, asking, attention)], 2)
        if number < len(language.layers):
            queries = _rotated(_heads(attention.q_proj, normal, attention), before)
            shared = _onward(layer, shared, scaled_dot_product_attention(queries, keys, values, is_causal=True))
        else:
            rows = torch.arange(len(ends), device=ends.device)[:, None]
            words, asking, mask = words[rows, ends], asking[rows, ends], mask[:, 0][rows, ends][:, None]
            behind = behind[0][rows, :, ends].transpose(1, 2), behind[1][rows, :, ends].transpose(1, 2)
        queries = _rotated(_heads(attention.q_proj, asking, attention), behind)
        words = _onward(layer, words, scaled_dot_product_attention(queries, all_keys, all_values, attn_mask=mask))
    states: Tensor = language.norm(words)
    return states


def _mask(slots: Tensor, shared: int, dtype: torch.dtype) -> Tensor:
    """(B, 1, L, shared + L), to be added: a word sees what is shared, and its own question up to itself."""
    own = (slots[:, :, None] == slots[:, None, :]).tril_()
    hidden = torch.zeros(own.shape, dtype=dtype, device=slots.device).masked_fill_(~own, torch.finfo(dtype).min)
    return functional.pad(hidden, (shared, 0))[:, None]


def _heads(projection: nn.Module, states: Tensor, attention: Any) -> Tensor:
    """Projected (B, L, D) states as (B, heads, L, head size)."""
    heads: Tensor = projection(states).unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
    return heads


def _rotation(language: Qwen2Model, like: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines of rotary positions, each (B, 1, L, half a head)."""
    cosine, sine = language.rotary_emb(like, positions)
    half = cosine.shape[-1] // 2
    return cosine[:, None, :, :half], sine[:, None, :, :half]


def _rotated(heads: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    cosine, sine = rotation
    one, other = heads.chunk(2, -1)
    return torch.cat([one * cosine - other * sine, other * cosine + one * sine], -1)


def _onward(layer: Any, states: Tensor, attended: Tensor) -> Tensor:
    """States (B, L, D) after a layer, from what its heads attended to."""
    states = states + layer.self_attn.o_proj(attended.transpose(1, 2).flatten(2))
    after: Tensor = states + layer.mlp(layer.post_attention_layernorm(states))
    return after
