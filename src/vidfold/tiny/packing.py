"""Many questions about one clip in one sequence: how training batches are laid out and read by the model.

The sequence is ``<|im_start|> user``, the visual tokens with the newline, then one slot a question.  No slot sees
another, and positions start anew in every slot, so each question is read exactly as if it stood alone in a chat.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vidfold.tiny.language import END, START, VOCABULARY, encode
from vidfold.tiny.questions import KINDS, TEMPLATES, Question, questions
from vidfold.tiny.scenes import COLORS, FRAMES, SCENES, SHAPES, SIZE, Clip, render

if TYPE_CHECKING:
    from transformers import LlavaOnevisionForConditionalGeneration

PLAN = ("scene", "tiny", "shape", "shape", "shape", "shape", "last", "leaves", "count")
"""The kind asked in every slot; shapes have several, since they are the hardest to learn."""

LABELS = (*COLORS, *SHAPES, "tiny", *SCENES)
"""What a patch can show, in the order of ``Batch.patches``."""

_PREFIX = (VOCABULARY[START], VOCABULARY["user"])
_TURN = (VOCABULARY[END], VOCABULARY[START], VOCABULARY["assistant"])
_TEXTS = [encode(TEMPLATES[kind].format(color=COLORS[0])) for kind in PLAN]
_LENGTHS = [len(text) + len(_TURN) + 1 for text in _TEXTS]
_STARTS = [sum(_LENGTHS[:slot]) for slot in range(len(PLAN))]
_COVERED = 4  # pixels of a thing a patch must show to be labelled with it

LENGTH = sum(_LENGTHS)
ASK = torch.tensor([start + length - 2 for start, length in zip(_STARTS, _LENGTHS, strict=True)])
"""Where each slot's answer is predicted; the answer itself stands one later and predicts the end of the turn."""
NAMED_SLOTS = torch.tensor([slot for slot, kind in enumerate(PLAN) if kind == "shape"])
NAMES = torch.tensor([_STARTS[slot] + _TEXTS[slot].index(VOCABULARY[COLORS[0]]) for slot in NAMED_SLOTS.tolist()])
"""Where the slots that name an object name it."""


@dataclass(frozen=True)
class Batch:
    """Clips ready for training: B clips of F frames, G x G patches a frame.

    ``pixels`` (B, F, 96, 96, 3) uint8; ``patches`` (B, F, G * G, labels) bool, what each patch shows;
    ``ids`` (B, LENGTH) int64, the packed questions with their answers.
    """

    pixels: Tensor
    patches: Tensor
    ids: Tensor

    @property
    def answers(self) -> Tensor:
        """(B, slots) int64, the true answer of every slot."""
        return self.ids[:, ASK + 1]

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        return Batch(*(getattr(self, name).to(device) for name in ("pixels", "patches", "ids")))


def pack(seeds: range, grid: int, frames: int = FRAMES) -> Batch:
    """Renders the clips of ``seeds``; with fewer than 8 ``frames`` each clip shows evenly spaced ones of its own."""
    if FRAMES % frames:
        raise ValueError(f"frames must divide {FRAMES}; got {frames}")
    stride = FRAMES // frames
    pixels, patches, ids = [], [], []
    for seed in seeds:
        clip = render(seed)
        chosen = slice(seed % stride, None, stride)
        pixels.append(clip.frames[chosen])
        patches.append(patch_labels(clip, grid)[chosen])
        ids.append([token for question in asked(clip) for token in _question_ids(question)])
    return Batch(
        torch.from_numpy(np.stack(pixels)),
        torch.from_numpy(np.stack(patches)),
        torch.tensor(ids),
    )


def asked(clip: Clip) -> list[Question]:
    """The question in every slot of ``PLAN``; objects take turns in the slots about shapes."""
    of_kind: dict[str, list[Question]] = {kind: [] for kind in KINDS}
    for question in questions(clip):
        of_kind[question.kind].append(question)
    order = np.random.default_rng((clip.seed, 1)).permutation(len(clip.objects))
    of_kind["shape"] = [of_kind["shape"][turn] for turn in order]
    turns = [PLAN[:slot].count(kind) for slot, kind in enumerate(PLAN)]
    return [of_kind[kind][turn % len(of_kind[kind])] for kind, turn in zip(PLAN, turns, strict=True)]


def read(
    model: LlavaOnevisionForConditionalGeneration, tokens: Tensor, ids: Tensor, early: int = 2
) -> tuple[Tensor, Tensor]:
    """Final states (B, LENGTH, D) of the packed questions ``ids`` over visual ``tokens`` (B, n, D), and states
    after ``early`` layers."""
    embed = model.get_input_embeddings()
    batch, count = tokens.shape[:2]
    prefix = embed(torch.tensor(_PREFIX, device=ids.device)).expand(batch, -1, -1)
    newline = model.model.image_newline.expand(batch, 1, -1)
    parts = (prefix, tokens, newline, embed(ids))
    mask, positions = _layout(count, tokens.dtype, ids.device)
    output = model.model.language_model(
        inputs_embeds=torch.cat([part.to(tokens.dtype) for part in parts], 1),
        attention_mask=mask,
        position_ids=positions,
        use_cache=False,
        output_hidden_states=True,
    )
    final: Tensor = output.last_hidden_state
    middle: Tensor = output.hidden_states[early]
    return final[:, -LENGTH:], middle[:, -LENGTH:]


def by_kind(slots: Tensor) -> dict[str, Tensor]:
    """Means of the values (slots,) over the slots of every kind."""
    kinds = dict.fromkeys(PLAN)
    return {kind: slots[[slot for slot, other in enumerate(PLAN) if other == kind]].mean() for kind in kinds}


def see(model: LlavaOnevisionForConditionalGeneration, pixels: Tensor) -> Tensor:
    """Patch states (N, G * G, E) of the vision tower's last layer for uint8 frames (N, 96, 96, 3)."""
    tower = model.model.vision_tower
    scaled = (pixels.float() / 127.5 - 1).movedim(-1, -3)
    states: Tensor = tower.encoder(inputs_embeds=tower.embeddings(scaled)).last_hidden_state
    return states


def project(model: LlavaOnevisionForConditionalGeneration, states: Tensor, clips: int) -> Tensor:
    """Language tokens (clips, F * G * G / 4, D) of patch states (clips * F, G * G, E): projector, 2 x 2 pooling."""
    tokens = pool(model.model.multi_modal_projector(states))
    return tokens.reshape(clips, -1, tokens.shape[-1])


def pool(patches: Tensor) -> Tensor:
    """Means over 2 x 2 cells, (N, G * G, D) -> (N, G * G / 4, D); equals bilinear halving of an even grid."""
    frames, count, width = patches.shape
    half = math.isqrt(count) // 2
    return patches.view(frames, half, 2, half, 2, width).mean((2, 4)).flatten(1, 2)


def _layout(visual: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Additive attention mask (1, 1, S, S) and positions (1, S) for ``visual`` tokens and the packed slots."""
    shared = len(_PREFIX) + visual + 1
    slot = torch.cat([torch.full((length,), number) for number, length in enumerate(_LENGTHS)])
    slot = torch.cat([torch.full((shared,), -1), slot])
    seen = (slot[None, :] == -1) | (slot[:, None] == slot[None, :])
    mask = torch.zeros(seen.shape, dtype=dtype).masked_fill(~seen.tril(), torch.finfo(dtype).min)
    positions = torch.cat([torch.arange(shared), *(shared + torch.arange(length) for length in _LENGTHS)])
    return mask[None, None].to(device), positions[None].to(device)


def _question_ids(question: Question) -> list[int]:
    return [*encode(question.text), *_TURN, VOCABULARY[question.answer]]


def patch_labels(clip: Clip, grid: int) -> np.ndarray:
    """(8, G * G, labels) bool: the colours, shapes, tiny dot and scene each patch shows."""
    side = SIZE // grid
    cells = clip.labels.reshape(FRAMES, grid, side, grid, side)
    shown = np.zeros((FRAMES, grid * grid, len(LABELS)), bool)
    things = [(thing.color, thing.shape) for thing in clip.objects]
    for label, names in enumerate([(clip.scene,), *things, (clip.dot.color, "tiny")]):
        here = ((cells == label).sum((2, 4)) >= _COVERED).reshape(FRAMES, -1)
        for name in names:
            shown[..., LABELS.index(name)] |= here
    return shown
