"""The tiny model's tokenizer, chat template and processor, as its folders hold them."""

from typing import TYPE_CHECKING

from vidfold.tiny.language import END, IMAGE, PAD, START, UNKNOWN, VIDEO, VOCABULARY
from vidfold.tiny.textures import SIZE

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast
    from transformers.models.llava_onevision import LlavaOnevisionProcessor

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + ' ' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'video' %}{{ '<video>' }}{% elif part['type'] == 'image' %}{{ '<image>' }}{% endif %}"
    "{% endfor %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% endif %}"
    "{{ '<|im_end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant' }}{% endif %}"
)
"""Chat turns as in Qwen, without line breaks; the video comes before the text of its turn."""


def tokenizer() -> "PreTrainedTokenizerFast":
    """One token per word, punctuation separate; ignores case and spacing, and reads "colour" as "color"."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel(VOCABULARY, unk_token=UNKNOWN))
    words.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace("colour", "color")])
    words.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        unk_token=UNKNOWN,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[START, IMAGE, VIDEO],
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],
        chat_template=CHAT_TEMPLATE,
    )


def processor(patch: int) -> "LlavaOnevisionProcessor":
    """The architecture's standard processor, for frames of 96 x 96 pixels and patches of ``patch`` x ``patch``."""
    from transformers.models.llava_onevision import (
        LlavaOnevisionImageProcessor,
        LlavaOnevisionProcessor,
        LlavaOnevisionVideoProcessor,
    )

    size = {"height": SIZE, "width": SIZE}
    half = [0.5, 0.5, 0.5]
    return LlavaOnevisionProcessor(
        image_processor=LlavaOnevisionImageProcessor(
            size=size, image_mean=half, image_std=half, image_grid_pinpoints=[[SIZE, SIZE]]
        ),
        video_processor=LlavaOnevisionVideoProcessor(size=size, image_mean=half, image_std=half),
        tokenizer=tokenizer(),
        num_image_tokens=(SIZE // patch) ** 2,
        vision_feature_select_strategy="full",
        chat_template=CHAT_TEMPLATE,
    )
