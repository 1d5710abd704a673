"""The config of a published LLaVA-OneVision or LLaVA-Video, from the ``config.json`` of its authors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidfold.models import llava_video
from vidfold.tokens import Pooling

SIGLIP = "siglip-so400m-patch14-384"
"""The tower of every published checkpoint; their ``config.json`` has only its name."""

TEXT = (
    "attention_dropout", "bos_token_id", "eos_token_id", "hidden_act", "hidden_size", "initializer_range",
    "intermediate_size", "max_position_embeddings", "max_window_layers", "num_attention_heads", "num_hidden_layers",
    "num_key_value_heads", "rms_norm_eps", "rope_scaling", "rope_theta", "sliding_window", "tie_word_embeddings",
    "use_sliding_window", "vocab_size"
)  # fmt: skip
"""Fields of the language model, a Qwen2."""

SERVED: dict[str, tuple[Any, ...]] = {
    "add_faster_video": (False, None),
    "mm_patch_merge_type": ("spatial_unpad",),
    "mm_projector_type": ("mlp2x_gelu",),
    "mm_resampler_type": (None,),
    "mm_spatial_pool_stride": (2, None),
    "mm_vision_select_layer": (-2,),
}
"""Supported values of the authors' fields."""

LAYOUTS = {
    ("bilinear", "one_token"): None,
    ("average", "grid"): Pooling.AVERAGE,
    ("bilinear", "grid"): Pooling.BILINEAR,
}
"""Values of ``mm_spatial_pool_mode`` and ``mm_newline_position`` -> pooling of a LLaVA-Video; None: LLaVA-OneVision."""


def config_of(published: Mapping[str, Any], folder: Path, rows: int) -> Any:
    """The ``LlavaOnevisionConfig`` of a published checkpoint, that of a LLaVA-Video with its record.

    Args:
        published: contents of its ``config.json``.
        folder: of that file; a tower named by a relative path lies in it.
        rows: of its embedding, which may be more than its ``vocab_size``; 0 takes ``vocab_size``.

    Raises:
        ValueError: a value that is not served.
    """
    from transformers import LlavaOnevisionConfig, Qwen2Config

    for field, served in SERVED.items():
        if (value := published.get(field)) not in served:
            raise ValueError(f"it has {field} {value!r}; served is: {', '.join(map(repr, served))}")
    layout = published.get("mm_spatial_pool_mode", "bilinear"), published.get("mm_newline_position", "one_token")
    if layout not in LAYOUTS:
        known = ", ".join(f"{pool!r} with {newline!r}" for pool, newline in LAYOUTS)
        raise ValueError(
            f"it has mm_spatial_pool_mode {layout[0]!r} with mm_newline_position {layout[1]!r}; served are: {known}"
        )
    aspect = published.get("image_aspect_ratio")
    if not str(aspect).startswith("anyres_max_"):
        raise ValueError(f"it has image_aspect_ratio {aspect!r}; served is 'anyres_max_' with a number")
    text = Qwen2Config(**{field: published[field] for field in TEXT if published.get(field) is not None})
    text.vocab_size = rows or text.vocab_size
    pinpoints = published.get("image_grid_pinpoints")
    config = LlavaOnevisionConfig(
        vision_config=_vision(str(published.get("mm_vision_tower")), folder),
        text_config=text,
        # The authors write width before height, transformers height before width.
        image_grid_pinpoints=None if pinpoints is None else [[height, width] for width, height in pinpoints],
        vision_aspect_ratio=aspect,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=text.tie_word_embeddings,
    )
    if (pooling := LAYOUTS[layout]) is not None:
        names = ("force_sample", "add_time_instruction")
        given = {field: bool(published[field]) for field in names if published.get(field) is not None}
        setattr(config, llava_video.RECORD, llava_video.record(pooling, **given))
    return config


def _vision(tower: str, folder: Path) -> Any:
    """The config of a tower without the parts that the model does not use: its last layer and its head."""
    from transformers import SiglipVisionConfig

    if Path(tower).name == SIGLIP:
        vision = SiglipVisionConfig(
            hidden_size=1152,
            intermediate_size=4304,
            num_hidden_layers=27,
            num_attention_heads=16,
            image_size=384,
            patch_size=14,
        )
    elif (folder / tower / "config.json").is_file():
        vision = SiglipVisionConfig.from_pretrained(folder / tower)
    else:
        raise ValueError(f"it has mm_vision_tower {tower!r}; served is: {SIGLIP}, or a folder of a SigLIP")
    vision.num_hidden_layers -= 1
    vision.vision_use_head = False
    return vision
