"""All questions about a clip in one sequence after its visual tokens, so that these are read once.

The sequence is ``<|im_start|> user``, the visual tokens with the newline, then every question with its turn.  Questions
do not attend to each other and all have the same positions, so each is read as if it were alone in a chat.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vidfold.bench.clips import Sample
from vidfold.bench.settings import Fold
from vidfold.tiny.language import PREFIX, TURN, VOCABULARY, encode
from vidfold.tiny.questions import KINDS, Question
from vidfold.tokens import VideoTokens

if TYPE_CHECKING:
    from transformers import LlavaOnevisionForConditionalGeneration


_TOKENS = 8192  # visual tokens per batch of the language model


def measure(sample: Sample, tokens: VideoTokens, folds: Sequence[Fold]) -> list[dict[str, float]]:
    """Right answers of an embedded model by kind, for every fold; folds of the same length share a batch.

    Raises:
        ValueError: the clip has no true answers, or a method works inside the language model.
    """
    if sample.clip is None:
        raise ValueError(f"{sample.name} has no true answers; use clips of the embedded model's worlds")
    truth = torch.tensor([VOCABULARY[question.answer] for question in sample.questions])
    found: list[dict[str, float]] = [{} for _ in folds]
    lengths: dict[int, dict[int, Tensor]] = {}
    for place, fold in enumerate(folds):
        if fold.reduction is None:
            raise ValueError(f"{fold.reducer.name} works inside the language model; a suite needs methods before it")
        lengths.setdefault(len(fold.reduction.tokens), {})[place] = fold.reduction.tokens
    for length, same in lengths.items():
        batches = torch.split(torch.stack([*same.values()]), max(1, _TOKENS // length))
        logits = [scores(sample.loaded.model, visual, sample.questions) for visual in batches]
        for place, answers in zip(same, torch.cat(logits).argmax(-1).cpu(), strict=True):
            found[place] = counted(sample.questions, answers == truth)
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


@torch.no_grad()
def scores(model: "LlavaOnevisionForConditionalGeneration", visual: Tensor, asked: Sequence[Question]) -> Tensor:
    """Logits (B, Q, words) of the answers to Q questions, for every row of ``visual`` tokens (B, K, D)."""
    embed, device, rows = model.get_input_embeddings(), visual.device, len(visual)
    texts = [[*encode(question.text), *TURN] for question in asked]
    ids = torch.tensor(sum(texts, [*PREFIX]), device=device)
    prefix, words = embed(ids).expand(rows, -1, -1).split([len(PREFIX), len(ids) - len(PREFIX)], 1)
    newline = model.model.image_newline.expand(rows, 1, -1).to(visual)
    states = torch.cat([prefix, visual, newline, words], 1)
    lengths = torch.tensor([prefix.shape[1] + visual.shape[1] + 1, *map(len, texts)], device=device)
    shared = lengths[0]
    # A token sees what all questions share (part 0), and its own question, up to itself.
    part = torch.arange(len(lengths), device=device).repeat_interleave(lengths)
    seen = ((part[:, None] == part) | (part == 0)).tril_()
    mask = torch.zeros(seen.shape, dtype=states.dtype, device=device).masked_fill_(~seen, torch.finfo(states.dtype).min)
    starts = (lengths.cumsum(0) - lengths)[part]
    positions = torch.arange(len(part), device=device) - starts + shared * (part > 0)
    output = model.model.language_model(
        inputs_embeds=states,
        attention_mask=mask.expand(rows, 1, -1, -1),
        position_ids=positions.expand(rows, -1),
        use_cache=False,
    )
    logits: Tensor = model.lm_head(output.last_hidden_state[:, lengths.cumsum(0)[1:] - 1])
    return logits
