"""Small random models of the real architectures, on which `test_families*` tests what every model family must do.

A family enters with a builder, a module ``tests/models/<family>_model.py`` that has:

``build(dtype=torch.float32, attention="sdpa") -> model``
    From the real config classes, in evaluation mode, the same weights on every call, a second or less. Heads of the
    tower and of the language model have at least 8 channels; ``attention`` goes to both (``set_attn_implementation``);
    ``generation_config`` has its pad and end tokens. Answers depend on what the video shows: weights of a fair size.

``inputs(model, prompts=(4,), frames=((2,),), images=None) -> dict``
    What the real processor would give, padded on the left. One entry a row: ``prompts[i]`` words of text at its end,
    the numbers of frames of its videos in ``frames[i]`` (``()`` for none; a family with temporal patches takes as many
    steps of the language model as are asked for, whatever frames that needs), and ``images[i]`` images after them
    (None: none anywhere). Words and pixels of a row follow from ``prompts[i]``, ``frames[i]`` and ``images[i]`` alone,
    say ``prompts[i]`` as a seed: a row built alone is the row in a batch. Pixels are float32.

``visual(model, inputs) -> list[(row, columns)]``
    Of every video in the order of the prompts: its row, and the (F*N,) columns of the padded prompt where the language
    model reads cell 0... of frame 0..., newlines and other tokens that no budget counts left out.

``received(model, inputs, layer) -> list[(F, H*W) tensor]``
    Of every video: attention received by every cell of ``VideoTokens`` in a layer of the tower, from
    ``output_attentions`` of a model with eager attention (mean over heads, sum over queries).

``NEVER: list[int]``
    Token ids that answers must do without: placeholders, and the end of the text.

``UNEQUAL: bool``
    Whether videos of unequal numbers of frames go together in one call.

``IMAGES: bool``
    Whether the builder makes images.

``extra(model, inputs, kept) -> (B, L) bool`` (optional)
    Placeholders that stay although no budget counts them, such as newlines, where of every video the cells at the flat
    indices ``kept[i]`` stay. Without it the ``closing`` tokens behind the last cell of every video.

``positions(model, inputs) -> dict`` (optional)
    Position ids of the unfolded model for the full prompt, where they are not counted one by one.

A family has ``observed_layers(inputs) -> {"shallow": index, "deep": index}`` (see `observing.chosen_layers`). What only
one family does is tested in ``test_<family>.py``.
"""

import functools
import importlib
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from vidfold import Reduction, VideoTokens, models
from vidfold.models import FAMILIES
from vidfold.reducers.base import Reducer, select

CASES = {
    path.stem.removesuffix("_model"): importlib.import_module(f"tests.models.{path.stem}")
    for path in sorted(Path(__file__).parent.glob("*_model.py"))
    if path.stem.removesuffix("_model") in FAMILIES
}
"""``config.model_type`` -> builder."""

STEPS = 3
FULL = {"return_dict_in_generate": True, "output_logits": True}
WORDS = (3, 8)
"""Words of the two prompts of a batch."""


@functools.cache
def built(case: Any, dtype: torch.dtype = torch.float32, attention: str = "sdpa") -> Any:
    """One model for many tests, which must leave it as it is."""
    return case.build(dtype=dtype, attention=attention)


def greedy(case: Any) -> dict[str, Any]:
    """Settings of an answer of `STEPS` tokens."""
    return {
        "max_new_tokens": STEPS,
        "min_new_tokens": STEPS,
        "do_sample": False,
        "suppress_tokens": list(case.NEVER),
    }


def shapes(case: Any) -> tuple[tuple[int, ...], ...]:
    """Frames of the videos of a batch of two prompts: unequal where a family takes that."""
    return ((2,), (3,)) if case.UNEQUAL else ((2,), (2,))


def two_rows(case: Any, model: Any) -> dict[str, Tensor]:
    """Two prompts of unequal length with a video each."""
    return case.inputs(model, prompts=WORDS, frames=shapes(case))


def one_row(case: Any, model: Any, number: int) -> dict[str, Tensor]:
    """One of the two prompts alone."""
    return case.inputs(model, prompts=WORDS[number : number + 1], frames=shapes(case)[number : number + 1])


@dataclass(frozen=True)
class Keep(Reducer):
    """Keeps tokens of every video at given flat positions, another set for each video in turn."""

    sets: tuple[Tensor, ...]

    name: ClassVar[str] = "keep"
    paper: ClassVar[str] = "none: a test"
    idea: ClassVar[str] = "keeps what it is told"

    def __post_init__(self) -> None:
        object.__setattr__(self, "turn", itertools.cycle(self.sets))

    def count(self, frames: int, cells: int) -> int:
        raise ValueError("it keeps what it is told")

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        return select(tokens, next(self.turn), weights=weights)


def some(case: Any, model: Any, inputs: dict[str, Tensor], seed: int = 0) -> tuple[Tensor, ...]:
    """Positions to keep: about a third of every video, another number of each."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [len(columns) for _, columns in case.visual(model, inputs)]
    counts = [size // 3 + number for number, size in enumerate(sizes)]
    return tuple(
        torch.randperm(size, generator=generator)[:count].sort().values
        for size, count in zip(sizes, counts, strict=True)
    )


def visible(case: Any, model: Any, inputs: dict[str, Tensor], kept: tuple[Tensor, ...]) -> Tensor:
    """The attention mask (B, L) that hides what is not kept of every video."""
    family = models.family(model)
    hidden = family.places(inputs).clone()
    for (row, columns), index in zip(case.visual(model, inputs), kept, strict=True):
        hidden[row, columns[index]] = False
        end = int(columns[-1]) + 1
        hidden[row, end : end + family.closing] = False
    if hasattr(case, "extra"):
        hidden &= ~case.extra(model, inputs, kept)
    return inputs["attention_mask"].masked_fill(hidden, 0)


@torch.no_grad()
def masked(case: Any, model: Any, inputs: dict[str, Tensor], kept: tuple[Tensor, ...]) -> Tensor:
    """Logits (B, V) of the unfolded model at the last position when it may not attend to what was dropped."""
    mask = visible(case, model, inputs, kept)
    if hasattr(case, "positions"):
        positions = case.positions(model, inputs)
    else:
        positions = {"position_ids": (mask.cumsum(-1) - 1).clamp(min=0)}
    return model(**inputs | {"attention_mask": mask} | positions).logits[:, -1]
