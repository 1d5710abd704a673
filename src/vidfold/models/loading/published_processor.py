"""The processor of a published LLaVA-OneVision or LLaVA-Video: its own tokenizer, and SigLIP's image settings."""

from pathlib import Path
from typing import Any

CHAT_TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}"
    "{% endif %}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] in ('image', 'video') %}{{ '<' + part['type'] + '>\n' }}{% endif %}"
    "{% endfor %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% endif %}"
    "{{ '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""Qwen's turns as in training: first the images and videos of a turn, one per line, then its text."""


def processor_of(folder: Path, config: Any, trust: bool) -> Any:
    """A ``LlavaOnevisionProcessor``, which pads on the left.

    Args:
        folder: of the tokenizer. ``<image>`` and ``<video>`` are added if it lacks them: the authors' code splits
            prompts at these words and has no tokens for them.
        config: a ``LlavaOnevisionConfig``.
        trust: whether code that comes with the tokenizer may run.

    Raises:
        ValueError: a folder without a tokenizer.
    """
    from transformers import (
        AddedToken,
        AutoTokenizer,
        LlavaOnevisionImageProcessor,
        LlavaOnevisionProcessor,
        LlavaOnevisionVideoProcessor,
    )

    if not any((folder / file).is_file() for file in ("tokenizer.json", "vocab.json")):
        raise ValueError("it has no tokenizer: its folder holds no tokenizer.json and no vocab.json")
    tokenizer = AutoTokenizer.from_pretrained(
        folder, config=config.text_config, padding_side="left", trust_remote_code=trust
    )
    tokenizer.add_tokens([AddedToken(each, special=True, normalized=False) for each in ("<image>", "<video>")])
    side = config.vision_config.image_size
    half = [0.5, 0.5, 0.5]
    pictures = {"size": {"height": side, "width": side}, "image_mean": half, "image_std": half}
    return LlavaOnevisionProcessor(
        image_processor=LlavaOnevisionImageProcessor(image_grid_pinpoints=config.image_grid_pinpoints, **pictures),
        video_processor=LlavaOnevisionVideoProcessor(**pictures),
        tokenizer=tokenizer,
        num_image_tokens=(side // config.vision_config.patch_size) ** 2,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        vision_aspect_ratio=config.vision_aspect_ratio,
        chat_template=CHAT_TEMPLATE,
    )
