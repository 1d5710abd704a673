"""The reader of folded CLIP tokens: a projector and a small language model, and questions packed in one sequence.

The sequence is a start word, the visual tokens, a newline word, then one slot per question: its words, a question mark,
its answer.  Slots do not attend to each other and all have the same positions, so each question is read alone.  A
picture that a question is about is one token: the mean of what the tower says of it, with what the visual tokens that
are like it show.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lab.attention import use_chunked_attention
from lab.photos.groups import GROUPS
from lab.photos.questions import ANSWERS, PICTURE, TEMPLATES, Question
from lab.photos.sources import Source

PLAN = tuple(
    kind
    for kind, count in {
        **dict.fromkeys(("first", "last", "shots", "small"), 1),
        **dict.fromkeys(("next", "on"), 1),
        **dict.fromkeys(("behind", "again", "many", "order", "follows"), 2),
        **dict.fromkeys(("where", "seen", "with"), 3),
    }.items()
    for _ in range(count)
)
"""The kind of question in each slot."""
_SPECIAL = ("<start>", "<newline>", "?", PICTURE)
_ANSWERS = (answer for answers in ANSWERS.values() for answer in answers)
WORDS = tuple(dict.fromkeys((*_SPECIAL, *" ".join(TEMPLATES.values()).split(), *_ANSWERS, *GROUPS)))
VOCABULARY = {word: number for number, word in enumerate(WORDS)}
_SIZE = 0.05  # standard deviation of projected features; that of words begins at 0.02
_WAVES = 12
EARLY = 1
"""Layer after which the answer is also predicted at the last picture of the question."""


def question_ids(kind: str, answer: str) -> list[int]:
    """Words of a question with its answer."""
    return [VOCABULARY[word] for word in (*TEMPLATES[kind].split(), "?", answer)]


_SLOTS = [question_ids(kind, ANSWERS[kind][0]) for kind in PLAN]
_STARTS = [sum(map(len, _SLOTS[:slot])) for slot in range(len(PLAN))]
LENGTH = sum(map(len, _SLOTS))
ASK = torch.tensor([start + len(slot) - 2 for start, slot in zip(_STARTS, _SLOTS, strict=True)])
"""Position where each slot's answer is predicted; the answer follows it."""
PICTURES = torch.tensor([word == VOCABULARY[PICTURE] for slot in _SLOTS for word in slot]).nonzero()[:, 0]
"""Positions of pictures; `packed` gives the pictures in this order."""
NAMED_SLOTS = torch.tensor([slot for slot, words in enumerate(_SLOTS) if VOCABULARY[PICTURE] in words])
NAMES = ASK[NAMED_SLOTS] - 1
"""Position of the last picture, for ``NAMED_SLOTS``."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of the reader."""

    features: int = 768
    width: int = 192
    layers: int = 2
    heads: int = 4


def slots(asked: Sequence[Question]) -> list[Question | None]:
    """The question in each slot of ``PLAN``, or None if the clip has no more of its kind."""
    left = {kind: iter([question for question in asked if question.kind == kind]) for kind in ANSWERS}
    return [next(left[kind], None) for kind in PLAN]


def packed(asked: Sequence[Question | None]) -> tuple[list[int], list[Source | None]]:
    """Word ids (LENGTH) of the questions with their answers, and their pictures.

    An empty slot gets a filler, and None as its pictures, which losses ignore.
    """
    ids: list[int] = []
    pictures: list[Source | None] = []
    for question, kind in zip(asked, PLAN, strict=True):
        ids += question_ids(kind, question.answer if question else ANSWERS[kind][0])
        pictures += question.pictures if question else [None] * TEMPLATES[kind].count(PICTURE)
    return ids, pictures


class Reader(nn.Module):
    """Projector and language model.

    The projector is linear and not trained: whitened principal components of the tower's features, ``mean`` (D,) and
    ``basis`` (D, width). A trained one learns the training photographs by heart: pictures that it has never seen then
    no longer match themselves.
    """

    mean: Tensor
    basis: Tensor

    def __init__(self, sizes: Sizes = Sizes(), seed: int = 0) -> None:
        super().__init__()
        from transformers import Qwen2Config, Qwen2Model

        torch.manual_seed(seed)
        width = sizes.width
        self.register_buffer("mean", torch.zeros(sizes.features))
        self.register_buffer("basis", torch.zeros(sizes.features, width))
        self.picture = nn.Parameter(torch.zeros(width))
        self.time = nn.Linear(_WAVES, width)
        nn.init.normal_(self.time.weight, std=_SIZE / 5)  # less than what a token shows
        self.found, self.when = nn.Linear(width, width), nn.Linear(_WAVES, width)
        self.sharpness = nn.Parameter(torch.tensor([20.0, 7.0]))  # of likeness, and the score of finding nothing
        config = Qwen2Config(
            vocab_size=-(-len(WORDS) // 64) * 64,
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=sizes.layers,
            num_attention_heads=sizes.heads,
            num_key_value_heads=sizes.heads,
            max_position_embeddings=4096,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        )
        self.language: Any = Qwen2Model(config)
        use_chunked_attention(self.language)

    @torch.no_grad()
    def fit(self, features: Tensor) -> None:
        """Sets the projector from features (n, D) of training shots."""
        self.mean.copy_(features.mean(0))
        scale = features.std(0)
        values, directions = torch.linalg.eigh(torch.cov(((features - self.mean) / scale).T))
        width = self.basis.shape[1]
        self.basis.copy_(_SIZE * directions[:, -width:] / values[-width:].sqrt() / scale[:, None])

    @classmethod
    def load(cls, path: Path) -> "Reader":
        """A reader from its weights."""
        reader = cls()
        reader.load_state_dict(torch.load(path))
        return reader.eval()

    @property
    def words(self) -> Tensor:
        """Embeddings of words, also used to predict them."""
        table: Tensor = self.language.embed_tokens.weight
        return table

    def project(self, features: Tensor) -> Tensor:
        """Visual tokens (..., width) from pooled or folded features (..., D) of any float dtype."""
        return (features.float() - self.mean) @ self.basis

    def read(self, tokens: Tensor, ids: Tensor, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Final states (B, LENGTH, width) of packed questions (B, LENGTH) about projected pictures (B, n, width), after
        visual tokens (B, m, width); and states after ``EARLY`` layers, of the questions and of the visual tokens."""
        batch, count = tokens.shape[:2]
        start, newline = (self.words[VOCABULARY[word]].expand(batch, 1, -1) for word in _SPECIAL[:2])
        waves = _waves(count).to(tokens).expand(batch, -1, -1)
        grounded = pictures + self.picture + self._found(tokens, waves, pictures)
        written = self.words[ids].index_copy(1, PICTURES, grounded.to(self.words.dtype))
        mask, positions = _layout(count, self.words.dtype)
        output = self.language(
            inputs_embeds=torch.cat([start, tokens + self.time(waves), newline, written], 1),
            attention_mask=mask,
            position_ids=positions,
            use_cache=False,
            output_hidden_states=True,
        )
        early = output.hidden_states[EARLY]
        return output.last_hidden_state[:, -LENGTH:], early[:, -LENGTH:], early[:, 1 : 1 + count]

    def _found(self, tokens: Tensor, waves: Tensor, pictures: Tensor) -> Tensor:
        """What the visual tokens that are like each picture show, and when, (B, n, width): attention by cosine."""
        sharp, nothing = self.sharpness
        near = functional.normalize(pictures, dim=-1) @ functional.normalize(tokens, dim=-1).mT
        scores = torch.cat([sharp * near, nothing.expand(*near.shape[:2], 1)], -1)
        weights = scores.softmax(-1)[..., :-1].to(tokens.dtype)
        found: Tensor = self.found(weights @ tokens / _SIZE) + self.when(weights @ waves)
        return found

    @torch.inference_mode()
    def answer(self, features: Tensor, ids: Tensor, pictures: Tensor) -> Tensor:
        """The most likely answer (B, slots) to packed questions (B, LENGTH) about pictures (B, n, D), from features
        (B, m, D)."""
        final, _, _ = self.read(self.project(features), ids, self.project(pictures))
        return (final[:, ASK] @ self.words.T).argmax(-1)


def _waves(count: int) -> Tensor:
    """Where in the sequence each of ``count`` visual tokens is, as cosines of growing frequency, (count, _WAVES)."""
    along = (torch.arange(count) + 0.5) / count
    return (torch.pi * along[:, None] * torch.arange(1, 1 + _WAVES)).cos()


def _layout(visual: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Additive attention mask (1, 1, S, S) and positions (1, S) for ``visual`` tokens and the packed slots."""
    shared, lengths = visual + 2, [len(slot) for slot in _SLOTS]
    slot = torch.cat([torch.full((shared,), -1), *(torch.full((size,), at) for at, size in enumerate(lengths))])
    seen = (slot[None, :] == -1) | (slot[:, None] == slot[None, :])
    mask = torch.zeros(seen.shape, dtype=dtype).masked_fill(~seen.tril(), torch.finfo(dtype).min)
    positions = torch.cat([torch.arange(shared), *(shared + torch.arange(size) for size in lengths)])
    return mask[None, None], positions[None]
