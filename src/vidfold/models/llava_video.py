"""LLaVA-Video (Zhang et al. 2024, arXiv:2410.02713): a LLaVA-OneVision that pools otherwise and ends rows by newlines.

transformers has no class for it. A loaded model is a stock ``LlavaOnevisionForConditionalGeneration`` whose config says
what it is (`RECORD`) and which carries its own ``get_video_features``; `dress` puts that on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import MethodType
from typing import Any, ClassVar

from torch import Tensor

from vidfold.checks import check_count
from vidfold.models.llava_onevision import LlavaOnevision, encoder_grid
from vidfold.newlines import full_rows, with_newlines
from vidfold.tokens import Pooling, Reduction

RECORD = "vidfold"
"""Field of a model's config, saved with it: ``{"family": ..., "pooling": ..., "force_sample": ..., ...}``."""


def record(pooling: Pooling, *, force_sample: bool = True, add_time_instruction: bool = True) -> dict[str, Any]:
    """What the config of a LLaVA-Video holds as `RECORD`.

    Args:
        pooling: of the encoder grid; rows of the pooled grid end by a newline.
        force_sample: frames are taken evenly, as many as are asked for; else one a second, and no more than asked for.
        add_time_instruction: questions come after a sentence that says when the frames were taken.
    """
    return {
        "family": LlavaVideo.model_type,
        "pooling": pooling.value,
        "force_sample": force_sample,
        "add_time_instruction": add_time_instruction,
    }


def dress(model: Any, processor: Any = None) -> None:
    """Make a loaded model, and the processor that writes its prompts, treat videos as the `RECORD` of its config says.

    Only these two objects change, by attributes of their own; their classes stay as they are.

    Args:
        model: a ``LlavaOnevisionForConditionalGeneration`` whose config holds a `record`.
        processor: a ``LlavaOnevisionProcessor``, or None.
    """
    base = model.base_model
    base.get_video_features = MethodType(_get_video_features, base)
    base.apply_pooling = MethodType(_apply_pooling, base)
    if processor is None:
        return
    height, width = _pooling(model.config).grid(encoder_grid(model.config))
    frame = str(processor.video_token) * (height * (width + 1))

    def replace_video_token(video_inputs: Any, video_idx: int, **_: Any) -> str:
        return frame * len(video_inputs["pixel_values_videos"][video_idx])

    processor.replace_video_token = replace_video_token


def _get_video_features(
    base: Any,
    pixel_values_videos: Tensor,
    vision_feature_layer: int | list[int] | None = None,
    vision_feature_select_strategy: str | None = None,
    **settings: Any,
) -> Any:
    """What the stock function gives, (videos, tokens, D) as its ``pooler_output``, less the newline at the end."""
    outputs = type(base).get_video_features(
        base,
        pixel_values_videos,
        vision_feature_layer=vision_feature_layer,
        vision_feature_select_strategy=vision_feature_select_strategy,
        **settings | {"return_dict": True},
    )
    outputs.pooler_output = outputs.pooler_output[:, :-1]
    return outputs


def _apply_pooling(base: Any, image_features: Tensor) -> Tensor:
    pooling, grid = _pooling(base.config), encoder_grid(base.config)
    return full_rows(pooling(image_features, grid), pooling.grid(grid), base.image_newline)


@dataclass(frozen=True, eq=False)
class LlavaVideo(LlavaOnevision):
    """A SigLIP tower, a projector, pooling by two, and a newline token at the end of every row of the pooled grid.

    A row that keeps no token loses its newline too. Newlines that a method places itself are kept.

    Raises:
        ValueError: also a model that transformers alone loaded, which would pool as LLaVA-OneVision does.
    """

    model_type: ClassVar[str] = "llava_video"
    closing: ClassVar[int] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if "get_video_features" not in vars(self.base):
            raise ValueError(
                "this LLaVA-Video was loaded without vidfold.models.load and pools as LLaVA-OneVision does: load it "
                "with that, or call vidfold.models.llava_video.dress(model)"
            )

    @property
    def pooling(self) -> Pooling:
        """As the config records it."""
        return _pooling(self.model.config)

    @property
    def newline(self) -> Tensor:
        """The newline vector, (D,)."""
        vector: Tensor = self.base.image_newline
        return vector

    @property
    def force_sample(self) -> bool:
        """Whether frames are taken evenly whatever a video's duration; see `shown_frames`."""
        return bool(getattr(self.model.config, RECORD)["force_sample"])

    def shown_frames(self, duration: float, most: int) -> int:
        """How many frames of a video of ``duration`` seconds the model is shown, evenly taken.

        ``most`` with `force_sample`; else one a second, at least one and at most ``most``.
        """
        check_count("most", most)
        return most if self.force_sample else max(1, min(most, round(duration)))

    def asked(self, question: str, duration: float, timestamps: Sequence[float]) -> str:
        """The question after what the model was trained to be told about time, if it was."""
        if not getattr(self.model.config, RECORD)["add_time_instruction"]:
            return question
        return f"{time_instruction(duration, timestamps)}\n{question}"

    def placeholders(self, reduction: Reduction) -> int:
        """F * h * (w + 1) for a language grid (h, w)."""
        return reduction.full + reduction.full // reduction.grid[1]

    def visual_tokens(self, ids: Tensor) -> int:
        """Of h * (w + 1) placeholders a frame, h * w."""
        _, width = self.pooling.grid(encoder_grid(self.model.config))
        return int(self.places({"input_ids": ids}).sum()) // (width + 1) * width

    def arranged(self, reduction: Reduction) -> Reduction:
        """The reduction with a newline after every row that keeps a token, unless it has newlines already."""
        return with_newlines(reduction, self.newline.to(reduction.tokens))


def time_instruction(duration: float, timestamps: Sequence[float]) -> str:
    """The sentence that tells a LLaVA-Video when (s) its frames were taken, word for word as in its training."""
    times = ",".join(f"{time:.2f}s" for time in timestamps)
    return (
        f"The video lasts for {duration:.2f} seconds, and {len(timestamps)} frames are uniformly sampled from it. "
        f"These frames are located at {times}.Please answer the following questions related to this video."
    )


def _pooling(config: Any) -> Pooling:
    return Pooling(getattr(config, RECORD)["pooling"])
