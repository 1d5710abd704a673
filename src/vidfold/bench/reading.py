"""All questions about a clip in one sequence after its visual tokens, so that these are read once.

The sequence is ``<|im_start|> user``, the visual tokens with the newline, then every question with its turn.  Questions
do not attend to each other and all have the same positions, so each is read as if it were alone in a chat.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.functional import scaled_dot_product_attention
from torch.nn.utils.rnn import pad_sequence

from vidfold.bench.clips import Sample
from vidfold.bench.settings import Fold
from vidfold.tiny.language import PREFIX, TURN, VOCABULARY, encode
from vidfold.tiny.questions import KINDS, Question
from vidfold.tokens import VideoTokens

if TYPE_CHECKING:
    from transformers import LlavaOnevisionForConditionalGeneration, Qwen2Model


_TOKENS = 8192  # tokens per batch of the language model


def measure(sample: Sample, tokens: VideoTokens, folds: Sequence[Fold]) -> list[dict[str, float]]:
    """Right answers of an embedded model by kind, for every fold; folds of the same length share a batch.

    Raises:
        ValueError: the clip has no true answers, or a method works inside the language model.
    """
    if sample.clip is None:
        raise ValueError(f"{sample.name} has no true answers; use clips of the embedded model's worlds")
    asked, truth = Asked.of(sample.questions), torch.tensor([VOCABULARY[each.answer] for each in sample.questions])
    found: list[dict[str, float]] = [{} for _ in folds]
    lengths: dict[int, list[int]] = {}
    for place, fold in enumerate(folds):
        if fold.reduction is None:
            raise ValueError(f"{fold.reducer.name} works inside the language model; a suite needs methods before it")
        lengths.setdefault(len(fold.reduction.tokens), []).append(place)
    for length, places in lengths.items():
        rows = max(1, _TOKENS // (length + len(asked)))
        for start in range(0, len(places), rows):
            batch = places[start : start + rows]
            visual = torch.stack([folds[place].reduction.tokens for place in batch])  # type: ignore[union-attr]
            for place, logits in zip(batch, scores(sample.loaded.model, visual, [asked] * len(batch)), strict=True):
                found[place] = counted(sample.questions, logits.argmax(-1) == truth)
    return found


def counted(asked: Sequence[Question], right: Tensor) -> dict[str, float]:
    """Questions and right answers of each kind as ``asked_KIND`` and ``right_KIND``, from (Q,) bool ``right``."""
    kinds = torch.tensor([KINDS.index(question.kind) for question in asked])
    counts = {"asked": kinds.bincount(minlength=len(KINDS)), "right": kinds[right].bincount(minlength=len(KINDS))}
    return {
        f"{name}_{kind}": float(count)
        for name, every in counts.items()
        for kind, count in zip(KINDS, every.tolist(), strict=True)
    }


@dataclass(frozen=True, eq=False)
class Asked:
    """The Q questions about one clip, L tokens in total.

    Attributes:
        ids: (L,) int64, token ids of all questions, each up to the position that predicts its answer.
        slots: (L,) int64, index of the question that a token belongs to.
        offsets: (L,) int64, position of a token in its question.
        ends: (Q,) int64, positions that predict the answers.
    """

    ids: Tensor
    slots: Tensor
    offsets: Tensor
    ends: Tensor

    @classmethod
    def of(cls, asked: Sequence[Question]) -> "Asked":
        """All questions about a clip."""
        texts = [(*encode(question.text), *TURN) for question in asked]
        lengths = torch.tensor([len(text) for text in texts])
        return cls(
            ids=torch.tensor([token for text in texts for token in text]),
            slots=torch.arange(len(texts)).repeat_interleave(lengths),
            offsets=torch.cat([torch.arange(len(text)) for text in texts]),
            ends=lengths.cumsum(0) - 1,
        )

    def __len__(self) -> int:
        return len(self.ids)


@torch.no_grad()
def scores(model: "LlavaOnevisionForConditionalGeneration", visual: Tensor, asked: Sequence[Asked]) -> list[Tensor]:
    """Logits (Q, words) of the answers, for every row of ``visual`` tokens (B, K, D)."""
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
    language: "Qwen2Model", shared: Tensor, words: Tensor, slots: Tensor, offsets: Tensor, ends: Tensor
) -> Tensor:
    """Final states of the language model at the positions that predict answers, (B, Q, D).

    Runs the model's layers, without the parts that no answer depends on: attention between questions, and everything
    but keys and values of other positions in the last layer.

    Args:
        language: a Qwen2 decoder without sliding windows.
        shared: (B, n, D), states that all questions attend to.
        words: (B, L, D), states of all questions.
        slots: (B, L), index of the question of each token.
        offsets: (B, L), position of each token in its question.
        ends: (B, Q), positions that predict the answers.
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
            shared = _layer_output(layer, shared, scaled_dot_product_attention(queries, keys, values, is_causal=True))
        else:
            rows = torch.arange(len(ends), device=ends.device)[:, None]
            words, asking, mask = words[rows, ends], asking[rows, ends], mask[:, 0][rows, ends][:, None]
            behind = behind[0][rows, :, ends].transpose(1, 2), behind[1][rows, :, ends].transpose(1, 2)
        queries = _rotated(_heads(attention.q_proj, asking, attention), behind)
        words = _layer_output(layer, words, scaled_dot_product_attention(queries, all_keys, all_values, attn_mask=mask))
    states: Tensor = language.norm(words)
    return states


def _mask(slots: Tensor, shared: int, dtype: torch.dtype) -> Tensor:
    """Additive mask (B, 1, L, shared + L): a token sees all shared tokens, and its question up to itself."""
    own = (slots[:, :, None] == slots[:, None, :]).tril_()
    hidden = torch.zeros(own.shape, dtype=dtype, device=slots.device).masked_fill_(~own, torch.finfo(dtype).min)
    return functional.pad(hidden, (shared, 0))[:, None]


def _heads(projection: nn.Module, states: Tensor, attention: Any) -> Tensor:
    """Projected (B, L, D) states as (B, heads, L, head size)."""
    heads: Tensor = projection(states).unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
    return heads


def _rotation(language: "Qwen2Model", like: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines of rotary positions, each (B, 1, L, head size / 2)."""
    cosine, sine = language.rotary_emb(like, positions)
    half = cosine.shape[-1] // 2
    return cosine[:, None, :, :half], sine[:, None, :, :half]


def _rotated(heads: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    cosine, sine = rotation
    one, other = heads.chunk(2, -1)
    return torch.cat([one * cosine - other * sine, other * cosine + one * sine], -1)


def _layer_output(layer: Any, states: Tensor, attended: Tensor) -> Tensor:
    """States (B, L, D) after a layer, from the output of its attention heads."""
    states = states + layer.self_attn.o_proj(attended.transpose(1, 2).flatten(2))
    after: Tensor = states + layer.mlp(layer.post_attention_layernorm(states))
    return after
