"""Many questions about one clip in one sequence: layout of training batches, and how the model reads them.

The sequence is ``<|im_start|> user``, the visual tokens with the newline, then one slot per question.  Slots do not
attend to each other and all have the same positions, so each question is read as if it were alone in a chat.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lab.questions import ANSWERS, every_question
from vidfold.tiny.language import PREFIX, TURN, VOCABULARY, encode
from vidfold.tiny.questions import ENDS, TEMPLATES, Question
from vidfold.tiny.scenes import FRAMES, Clip, render
from vidfold.tiny.textures import SIZE
from vidfold.tiny.worlds import COLORS, SCENES, SHAPES

if TYPE_CHECKING:
    from transformers import LlavaOnevisionForConditionalGeneration

PLAN = (
    *("scene", "next", "tiny", "shape", "shape", "behind", "where", "where"),
    *("moves", "order", "order", "last", "count"),
)
"""The kind of question in each slot; kinds that are hard to learn have two."""

LABELS = (*COLORS, *SHAPES, "tiny", *SCENES)
"""What a patch can show, in the order of ``Batch.patches``."""

_SAMPLE = {"color": COLORS[0], "other": COLORS[1], "scene": SCENES[0], "end": ENDS[0]}
_FILLERS = {kind: Question(kind, template.format(**_SAMPLE), ANSWERS[kind][0]) for kind, template in TEMPLATES.items()}
_TEXTS = [encode(_FILLERS[kind].text) for kind in PLAN]
_LENGTHS = [len(text) + len(TURN) + 1 for text in _TEXTS]
_STARTS = [sum(_LENGTHS[:slot]) for slot in range(len(PLAN))]
_COVERED = 4  # a patch gets an object's label if it shows at least this many pixels of it
_NAMED = {"next": "scene", "tiny": "scene", "shape": "color", "behind": "color", "where": "color", "moves": "color"}

LENGTH = sum(_LENGTHS)
ASK = torch.tensor([start + length - 2 for start, length in zip(_STARTS, _LENGTHS, strict=True)])
"""Position where each slot's answer is predicted; the answer follows it and predicts the end of the turn."""
NAMED_SLOTS = torch.tensor([slot for slot, kind in enumerate(PLAN) if kind in _NAMED])
NAMES = torch.tensor(
    [_STARTS[slot] + _TEXTS[slot].index(VOCABULARY[_SAMPLE[_NAMED[PLAN[slot]]]]) for slot in NAMED_SLOTS.tolist()]
)
"""Position of the word that names the subject of the question, for `NAMED_SLOTS`."""


@dataclass(frozen=True)
class Batch:
    """Clips ready for training: B clips of F frames, G x G patches per frame.

    ``pixels`` (B, F, 96, 96, 3) uint8; ``patches`` (B, F, G * G, labels) bool, what each patch shows;
    ``ids`` (B, LENGTH) int64, the packed questions with their answers; ``valid`` (B, slots) bool, whether the
    slot has a question.
    """

    pixels: Tensor
    patches: Tensor
    ids: Tensor
    valid: Tensor

    @property
    def answers(self) -> Tensor:
        """(B, slots) int64, the true answer of every slot."""
        return self.ids[:, ASK + 1]

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device."""
        return Batch(*(getattr(self, name).to(device) for name in ("pixels", "patches", "ids", "valid")))


def pack(seeds: Sequence[int], grid: int, frames: int = FRAMES) -> Batch:
    """Renders the clips of ``seeds`` with ``frames`` frames each."""
    pixels, patches, ids, valid = [], [], [], []
    for seed in seeds:
        clip = render(seed, frames)
        pixels.append(clip.frames)
        patches.append(patch_labels(clip, grid))
        slots = asked(clip)
        ids.append(question_ids(slots))
        valid.append([question is not None for question in slots])
    return Batch(
        torch.from_numpy(np.stack(pixels)),
        torch.from_numpy(np.stack(patches)),
        torch.tensor(ids),
        torch.tensor(valid),
    )


def asked(clip: Clip) -> list[Question | None]:
    """The question in each slot of ``PLAN``, or None if the clip has no more of its kind."""
    of_kind: dict[str, list[Question]] = {kind: [] for kind in TEMPLATES}
    for question in every_question(clip):
        of_kind[question.kind].append(question)
    rng = np.random.default_rng((clip.seed, 1))
    shuffled = {kind: [found[place] for place in rng.permutation(len(found))] for kind, found in of_kind.items()}
    left = {kind: iter(found) for kind, found in shuffled.items()}
    return [next(left[kind], None) for kind in PLAN]


def question_ids(slots: Sequence[Question | None]) -> list[int]:
    """Token ids (LENGTH) of the questions with their answers; an empty slot gets a filler that losses ignore."""
    written = [slot or _FILLERS[kind] for slot, kind in zip(slots, PLAN, strict=True)]
    return [token for question in written for token in _question_ids(question)]


def read(
    model: "LlavaOnevisionForConditionalGeneration", tokens: Tensor, ids: Tensor, early: int = 2
) -> tuple[Tensor, Tensor]:
    """Final states (B, LENGTH, D) of the packed questions ``ids`` after visual ``tokens`` (B, n, D), and their
    states after ``early`` layers."""
    embed = model.get_input_embeddings()
    batch, count = tokens.shape[:2]
    prefix = embed(torch.tensor(PREFIX, device=ids.device)).expand(batch, -1, -1)
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


def by_kind(right: Tensor, valid: Tensor) -> dict[str, Tensor]:
    """Accuracy of every kind, from ``right`` (B, slots) answers to ``valid`` questions."""
    shares = {}
    for kind in dict.fromkeys(PLAN):
        slots = [slot for slot, other in enumerate(PLAN) if other == kind]
        there = valid[:, slots].float()
        shares[kind] = (right[:, slots].float() * there).sum() / there.sum().clamp_min(1)
    return shares


def see(model: "LlavaOnevisionForConditionalGeneration", pixels: Tensor) -> Tensor:
    """States (N, G * G, E) after the vision tower's last layer for uint8 frames (N, 96, 96, 3)."""
    tower = model.model.vision_tower
    scaled = (pixels.float() / 127.5 - 1).movedim(-1, -3)
    states: Tensor = tower.encoder(inputs_embeds=tower.embeddings(scaled)).last_hidden_state
    return states


def project(model: "LlavaOnevisionForConditionalGeneration", states: Tensor, clips: int) -> Tensor:
    """Visual tokens (clips, F * G * G / 4, D) from patch states (clips * F, G * G, E): projector, 2 x 2 pooling."""
    tokens = pool(model.model.multi_modal_projector(states))
    return tokens.reshape(clips, -1, tokens.shape[-1])


def pool(patches: Tensor) -> Tensor:
    """Means over 2 x 2 cells, (N, G * G, D) -> (N, G * G / 4, D); equals bilinear pooling of an even grid."""
    frames, count, width = patches.shape
    half = math.isqrt(count) // 2
    return patches.view(frames, half, 2, half, 2, width).mean((2, 4)).flatten(1, 2)


def _layout(visual: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Additive attention mask (1, 1, S, S) and positions (1, S) for ``visual`` tokens and the packed slots."""
    shared = len(PREFIX) + visual + 1
    slot = torch.cat([torch.full((length,), number) for number, length in enumerate(_LENGTHS)])
    slot = torch.cat([torch.full((shared,), -1), slot])
    seen = (slot[None, :] == -1) | (slot[:, None] == slot[None, :])
    mask = torch.zeros(seen.shape, dtype=dtype).masked_fill(~seen.tril(), torch.finfo(dtype).min)
    positions = torch.cat([torch.arange(shared), *(shared + torch.arange(length) for length in _LENGTHS)])
    return mask[None, None].to(device), positions[None].to(device)


def _question_ids(question: Question) -> list[int]:
    return [*encode(question.text), *TURN, VOCABULARY[question.answer]]


def patch_labels(clip: Clip, grid: int) -> np.ndarray:
    """Colours, shapes, tiny dots and scene that each patch shows, (F, G * G, labels) bool."""
    side, frames = SIZE // grid, len(clip.frames)
    cells = clip.labels.reshape(frames, grid, side, grid, side)
    shown = np.zeros((frames, grid * grid, len(LABELS)), bool)
    things = [(thing.color, thing.shape) for thing in clip.objects] + [(dot.color, "tiny") for dot in clip.dots]
    for label, names in enumerate(things, start=1):
        here = ((cells == label).sum((2, 4)) >= _COVERED).reshape(frames, -1)
        for name in names:
            shown[..., LABELS.index(name)] |= here
    ground = ((cells == 0).sum((2, 4)) >= _COVERED).reshape(frames, -1)
    for shot in clip.shots:
        during = slice(shot.first, shot.last + 1)
        shown[during, :, LABELS.index(shot.scene)] |= ground[during]
    return shown
