"""The contract of every model family: how a video's tokens are taken out of a model's inputs and put back."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidfold.models.attention.observing import chosen_layers, collected
from vidfold.models.builds import check_build
from vidfold.models.partial.running import Partial
from vidfold.models.partial.tower import Tower
from vidfold.models.prompts import shorten as prompt
from vidfold.tokens import Reduction, VideoTokens, check_values

Inputs = Mapping[str, Any]
"""Keyword arguments of a model's ``generate`` or ``forward``, as its processor makes them."""

PARTIAL = "partial"
"""Name among the inputs of a `Partial` run of the tower."""


@dataclass(frozen=True, eq=False)
class Family(ABC):
    """One loaded model seen as a source and a reader of video tokens.

    A family subclasses this as a frozen dataclass in a file of its own, names itself in the class variables, implements
    the abstract methods, and is entered in ``models/__init__.py``. It reads the model and never changes it. Its other
    fields are choices.

    Attributes:
        model: the transformers model, as loaded.
        shallow_layer: of its vision tower, whose received attention is `VideoTokens.shallow`; None is as in
            `vidfold.models.attention.observing.chosen_layers`.
        deep_layer: the same for `VideoTokens.deep`.

    Raises:
        ValueError: a model of another build, or layers that its tower does not have.
    """

    model: Any
    shallow_layer: int | None = None
    deep_layer: int | None = None

    model_type: ClassVar[str]
    """``config.model_type`` of the models it serves."""
    reads: ClassVar[tuple[str, ...]]
    """What a base model of another build lacks."""
    gives: ClassVar[frozenset[str]] = frozenset({"shallow", "deep", "keys"})
    """Optional fields of `VideoTokens` that it can fill; these three are taken from its tower's attention."""
    contrast: ClassVar[float] = 0.5
    """What the processors of its checkpoints divide brightness by, to make pixels of it."""
    saliency: ClassVar[str] = "none"
    """How it takes `VideoTokens.shallow` and ``deep`` from the attention of their layers, in a few words."""
    text_between_frames: ClassVar[bool] = False
    """Whether prompts have text, such as times, between the frames of a video."""
    closing: ClassVar[int] = 0
    """Tokens of the model's own that end every video (a newline); they are kept and no budget counts them."""
    pixels: ClassVar[frozenset[str]]
    """Names of the inputs whose place encoder outputs take."""
    said: ClassVar[frozenset[str]] = frozenset()
    """Names of inputs that a call gives for the family alone: the model is called without them."""

    def __post_init__(self) -> None:
        check_build(self.model, self.model_type, *self.reads)
        self.observed_layers()

    @property
    def base(self) -> Any:
        """The model without its language-model head."""
        return self.model.base_model

    @abstractmethod
    def attentions(self, inputs: Inputs) -> list[nn.Module]:
        """Attention modules of the layers of the tower that lead to the features."""

    def observed_layers(self, inputs: Inputs | None = None) -> dict[str, int]:
        """Positions 0... in the tower of the layers that ``shallow`` and ``deep`` come from."""
        return chosen_layers(self.shallow_layer, self.deep_layer, len(self.attentions(inputs or {})))

    def _seen(self, encode: Callable[..., Any], inputs: Inputs, needs: frozenset[str]) -> tuple[Any, dict[str, Tensor]]:
        """The result of a feature function of the model, and the needs that are taken from attention meanwhile.

        ``keys`` are (patches, E), attention received is (patches,), for all patches in the tower's order. A `Partial`
        among the inputs computes part of the tower.
        """
        modules, layers = self.attentions(inputs), self.observed_layers(inputs)
        # Keys are those of the last layer.
        chosen = {name: modules[layers.get(name, -1)] for name in sorted(needs & Family.gives)}
        partial: Partial | None = inputs.get(PARTIAL)
        with (
            nullcontext() if partial is None else partial.running(),
            collected(chosen, None if partial is None else partial.assembled) as parts,
        ):
            output = encode(**accepted(encode, inputs))
        return output, {name: torch.cat(each) for name, each in parts.items()}

    def units(self, inputs: Inputs) -> list[Tensor]:
        """Of every video what its tower reads, unit by unit: (F, N, P) float in brightness, as `TowerMethod.plan` does.

        A unit is what the tower computes as a whole: a patch, or the patches that it merges into one token.
        """
        raise ValueError(f"{self.model_type} cannot compute part of its vision tower: use tower=None")

    def tower(self, inputs: Inputs) -> Tower:
        """The vision tower, for inputs whose `units` are taken."""
        raise ValueError(f"{self.model_type} cannot compute part of its vision tower: use tower=None")

    def prepared(self, inputs: Inputs) -> Inputs:
        """The inputs of a call with what is read from its prompts, so that it is read once; idempotent."""
        return inputs

    def has_video(self, inputs: Inputs) -> bool:
        """Whether the inputs carry video pixels."""
        return inputs.get("pixel_values_videos") is not None

    def has_images(self, inputs: Inputs) -> bool:
        """Whether the inputs carry pixels of images that are no frames of a video."""
        return inputs.get("pixel_values") is not None

    def places(self, inputs: Inputs) -> Tensor:
        """Where ``input_ids`` (B, L) are placeholders of a video, (B, L) bool, in the order of the videos' tokens."""
        places: Tensor = inputs["input_ids"] == self.model.config.video_token_id
        return places

    def image_places(self, inputs: Inputs) -> Tensor:
        """Where ``input_ids`` (B, L) are placeholders of an image, (B, L) bool, in the order of the images' tokens."""
        places: Tensor = inputs["input_ids"] == self.model.config.image_token_id
        return places

    @abstractmethod
    def _encode(self, inputs: Inputs, needs: frozenset[str]) -> list[VideoTokens]:
        """Encode inputs that hold video and needs that can be met; see `encode`, which also checks the values."""

    @abstractmethod
    def _encode_images(self, inputs: Inputs, needs: frozenset[str]) -> list[VideoTokens]:
        """Encode inputs that hold images; see `encode_images`."""

    def outputs(
        self, inputs: Inputs, videos: Sequence[Reduction], images: Sequence[Reduction] | None
    ) -> dict[str, Any]:
        """The model's ``mm_encoder_outputs``: reduced videos, and images reduced, or encoded here where None.

        Tokens of every video and image come in the order of their `slots`.
        """
        outputs = dict(inputs.get("mm_encoder_outputs") or {})
        if images is not None:
            outputs["image"] = self._packed(images, video=False)
        elif self.has_images(inputs):
            encode = self.base.get_image_features
            outputs["image"] = encode(**accepted(encode, inputs))
        if videos:
            outputs["video"] = self._packed(videos, video=True)
        return outputs

    def _packed(self, reductions: Sequence[Reduction], *, video: bool) -> Any:
        """Reduced videos, or images, in the form of the model's own encoder outputs: one tensor each, unless said."""
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        return BaseModelOutputWithPooling(pooler_output=tuple(each.tokens[by_cell(each)] for each in reductions))

    def shown_frames(self, duration: float, most: int) -> int:
        """How many frames the model is shown of a video of ``duration`` seconds, where ``most`` are asked for."""
        return most

    def asked(self, question: str, duration: float, timestamps: Sequence[float]) -> str:
        """A question about a video as the model was trained to be asked it; times are in seconds."""
        return question

    def visual_tokens(self, ids: Tensor) -> int:
        """Visual tokens that prompts (B, L) of one video each have places for, the model's own newlines not counted."""
        return int(self.places({"input_ids": ids}).sum()) - self.closing * len(ids)

    def arranged(self, reduction: Reduction) -> Reduction:
        """A reduced video with what the model's layout adds to it, such as newlines after rows; idempotent."""
        return reduction

    @property
    def side_levels(self) -> int:
        """After how many of its first layers the language model adds `VideoTokens.side`."""
        return 0

    def placeholders(self, reduction: Reduction) -> int:
        """How many placeholders the prompt held for what was reduced to this."""
        return reduction.full + self.closing

    def slots(self, reduction: Reduction) -> Tensor:
        """Which of its placeholders every token takes, ascending, (tokens,) int64.

        Unless a family says otherwise those of the cells that the tokens stand for: each has a position of its own, by
        rotary axes or by text between frames.
        """
        return cell_slots(reduction).sort().values

    def arranged_images(self, inputs: Inputs, images: Sequence[Reduction]) -> list[Reduction]:
        """Reduced images with what the model's layout adds to them, such as newlines after rows; idempotent."""
        return list(images)

    def image_slots(self, inputs: Inputs, images: Sequence[Reduction]) -> list[tuple[int, Tensor]]:
        """Of every arranged image: how many placeholders it had, and its `slots`."""
        return [(self.placeholders(each), self.slots(each)) for each in images]

    def inferred(self, inputs: Inputs) -> dict[str, Tensor]:
        """What ``generate`` infers of prompts (B, L) beside ``attention_mask`` where a call does not say it."""
        return {}

    def positions(self, inputs: Inputs, kept: Tensor) -> dict[str, Tensor]:
        """``position_ids`` for the tokens of the full prompt that are kept, (B, L) bool, where the call must give them.

        Unless a family says otherwise positions are counted one by one, as ``generate`` counts those of a shortened
        prompt: ids that the call brings close up where tokens are dropped.
        """
        given = inputs.get("position_ids")
        return {} if given is None else {"position_ids": prompt.closed_up(given, kept)}

    def following(self, inputs: Inputs) -> Tensor | None:
        """The position that follows a prompt (B, L), (B, 1) int64; None where positions count its tokens one by one."""
        return None

    def settle(self, shortened: dict[str, Tensor]) -> dict[str, Tensor]:
        """Shortened per-token inputs as the model wants them."""
        return shortened

    def splice(
        self, inputs: Inputs, reductions: Sequence[Reduction], images: Sequence[Reduction] | None = None
    ) -> dict[str, Any]:
        """Inputs with the reductions in the place of the video.

        Rows that become unequal are padded again, for which ``attention_mask`` must tell what is padding already.
        Images of the same prompts are encoded here unless they are given reduced, since the models take encoder outputs
        for all or for none.

        Args:
            inputs: with ``input_ids`` (B, L) and whatever else the call had; video pixels are not looked at.
            reductions: one a video, in the order of the prompts.
            images: one for each `VideoTokens` of `encode_images`, in their order; None keeps images whole.

        Returns:
            Keyword arguments for the model's own ``generate`` or ``forward``: shortened ids, mask and labels, and the
            tokens. Meant for one call: ``generate`` may change them. Splicing again costs little.

        Raises:
            ValueError: placeholders in the prompts that do not match the reductions.
        """
        inputs = self.prepared(inputs)
        ids = inputs.get("input_ids")
        if not isinstance(ids, Tensor) or ids.ndim != 2:
            shape = tuple(ids.shape) if isinstance(ids, Tensor) else type(ids).__name__
            raise ValueError(f"input_ids must be a (batch, length) tensor holding the video's places, got {shape}")
        if isinstance(inputs.get("logits_to_keep"), Tensor):
            raise ValueError("logits_to_keep as a tensor names positions of the full prompt: give a number")
        places = self.places(inputs)
        reductions = [self.arranged(each) for each in reductions]
        taken = [prompt.taken(places, [(self.placeholders(each), self.slots(each)) for each in reductions])]
        if images is not None:
            images = self.arranged_images(inputs, images)
            image_places = self.image_places(inputs)
            taken.append(prompt.taken(image_places, self.image_slots(inputs, images)))
            places = places | image_places
        prompt.check(inputs)
        pad = getattr(self.model.generation_config, "pad_token_id", None)
        chosen = prompt.remaining(places, *taken)
        kept = torch.zeros_like(places).flatten().index_fill(0, chosen, True).view_as(places)
        full = dict(inputs) | self.positions(inputs, kept)
        short = prompt.shorten(full, chosen, 0 if pad is None else pad)
        rest = {name: value for name, value in inputs.items() if name not in self.pixels | self.said}
        return rest | self.settle(short) | {"mm_encoder_outputs": self.outputs(inputs, reductions, images)}

    def encode(
        self, inputs: Inputs, needs: frozenset[str] = frozenset(), *, gradients: bool = False
    ) -> list[VideoTokens]:
        """Run the vision tower and projector.

        Args:
            inputs: with video pixels; prompts are looked at only where the model takes frames for images.
            needs: optional fields of `VideoTokens` to fill; those not asked for are None and cost nothing.
            gradients: whether features carry gradients, if PyTorch computes any.

        Returns:
            One `VideoTokens` a video, in the order of the pixels.

        Raises:
            ValueError: no video, pixels of another shape than the model takes, or a need that the family cannot meet.
        """
        return self._checked("video", inputs, needs, gradients)

    def encode_images(
        self, inputs: Inputs, needs: frozenset[str] = frozenset(), *, gradients: bool = False
    ) -> list[VideoTokens]:
        """The same for images, each a video of one frame: one `VideoTokens` an image, in the order of the pixels.

        An image that the model reads in two grids, as a whole and in crops, is two.

        Raises:
            ValueError: no images, or what `encode` raises.
        """
        return self._checked("image", inputs, needs, gradients)

    def _checked(self, kind: str, inputs: Inputs, needs: frozenset[str], gradients: bool) -> list[VideoTokens]:
        self.check_needs(needs)
        inputs = self.prepared(inputs)
        of_video = self.has_video, self._encode
        held, encode = of_video if kind == "video" else (self.has_images, self._encode_images)
        if not held(inputs):
            raise ValueError(f"inputs carry no {kind} to encode; they have: {', '.join(sorted(inputs)) or 'nothing'}")
        with torch.set_grad_enabled(gradients and torch.is_grad_enabled()):
            videos = encode(inputs, needs)
        check_values(videos)
        return videos

    def check_needs(self, needs: frozenset[str]) -> None:
        """Raise a ValueError naming the first field of `VideoTokens` that this family cannot fill."""
        if missing := sorted(needs - self.gives):
            raise ValueError(
                f"{self.model_type} cannot give VideoTokens.{missing[0]}; beside the features it gives: "
                f"{', '.join(sorted(self.gives)) or 'nothing'}"
            )


def cell_slots(reduction: Reduction) -> Tensor:
    """The placeholder of the cell that each token stands for, (K,) int64 in the tokens' own order: frame * N + cell."""
    height, width = reduction.grid
    return reduction.frames * (height * width) + reduction.cells


def by_cell(reduction: Reduction) -> Tensor:
    """Indices (K,) int64 that put tokens into the order of their `cell_slots`."""
    return cell_slots(reduction).argsort(stable=True)


def accepted(function: Any, inputs: Inputs) -> dict[str, Any]:
    """The inputs that a feature function of a model takes by name; its result shall have names, too."""
    names = inspect.signature(function).parameters
    return {name: inputs[name] for name in names if inputs.get(name) is not None} | {"return_dict": True}
