"""Small models with random weights of real architectures, saved as checkpoints are, with tokenizer and processor."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GotOcr2ImageProcessor,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    InternVLVideoProcessor,
    InternVLVisionConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2Config,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

MARKS = {
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
    "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>",
}
TURNS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
SIZE = {"shortest_edge": 4 * 28 * 28, "longest_edge": 64 * 28 * 28}
"""Pixels of an image."""

QWEN_CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{% elif part['type'] == 'video' %}{{ '<|vision_start|><|video_pad|><|vision_end|>' }}"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def tokenizer(marks, **names):
    """One token a byte, and the marks."""
    special = [*TURNS, *marks]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {each: number for number, each in enumerate([*special, *letters])}
    made = Tokenizer(models.BPE(vocabulary, []))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    made.add_special_tokens(special)
    return PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<|im_end|>", pad_token="<|endoftext|>", extra_special_tokens=names
    )


def save(folder, kind, config, processor):
    """Weights large enough that answers depend on what is read, and where."""
    torch.manual_seed(0)
    model = kind(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 1.5 * parameter[0].numel() ** -0.5)
    model.generation_config.eos_token_id = None
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def text(words, **more):
    return {
        "vocab_size": len(words),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 4096,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4} | more.pop("rope", {"mrope_section": [4, 6, 6]}),
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
    } | more


VISION = {"depth": 4, "hidden_size": 64, "intermediate_size": 96, "num_heads": 2, "out_hidden_size": 64}


def qwen2_5_vl(folder):
    """Two layers of windows, two of full attention."""
    words = tokenizer(MARKS.values(), image_token=MARKS["image_token_id"], video_token=MARKS["video_token_id"])
    vision = VISION | {"patch_size": 14, "window_size": 112, "fullatt_block_indexes": [1, 3], "tokens_per_second": 2}
    config = Qwen2_5_VLConfig(
        text_config=text(words),
        vision_config=vision,
        tie_word_embeddings=False,
        **{name: words.convert_tokens_to_ids(mark) for name, mark in MARKS.items()},
    )
    processor = Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=SIZE),
        tokenizer=words,
        video_processor=Qwen2VLVideoProcessor(size=SIZE),
        chat_template=QWEN_CHAT,
    )
    save(folder, Qwen2_5_VLForConditionalGeneration, config, processor)


def qwen3_vl(folder):
    """Two levels of DeepStack."""
    words = tokenizer(
        MARKS.values(),
        image_token=MARKS["image_token_id"],
        video_token=MARKS["video_token_id"],
        vision_bos_token=MARKS["vision_start_token_id"],
        vision_eos_token=MARKS["vision_end_token_id"],
    )
    vision = VISION | {"patch_size": 16, "num_position_embeddings": 256, "deepstack_visual_indexes": [1, 2]}
    config = Qwen3VLConfig(
        text_config=text(words, head_dim=32, rope={"mrope_section": [4, 6, 6], "mrope_interleaved": True}),
        vision_config=vision,
        tie_word_embeddings=False,
        **{name: words.convert_tokens_to_ids(mark) for name, mark in MARKS.items()},
    )
    processor = Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(patch_size=16, size=SIZE, image_mean=[0.5] * 3, image_std=[0.5] * 3),
        tokenizer=words,
        # Pixels of a whole video here.
        video_processor=Qwen3VLVideoProcessor(size={name: 8 * size for name, size in SIZE.items()}),
        chat_template=QWEN_CHAT,
    )
    save(folder, Qwen3VLForConditionalGeneration, config, processor)


PICTURES = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}
INTERNVL_CHAT = QWEN_CHAT.replace("<|vision_start|><|image_pad|><|vision_end|>", "<IMG_CONTEXT>\n").replace(
    "<|vision_start|><|video_pad|><|vision_end|>", "<video>\n"
)


def internvl(folder):
    """4x4 tokens a picture."""
    words = tokenizer([*PICTURES.values(), "Frame"], **PICTURES)  # one token, as in every real vocabulary
    side = {"height": 64, "width": 64}
    config = InternVLConfig(
        text_config=Qwen2Config(**text(words, rope={})),
        vision_config=InternVLVisionConfig(
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=4,
            num_attention_heads=2,
            image_size=64,
            patch_size=8,
            layer_scale_init_value=1.0,
        ),
        image_token_id=words.convert_tokens_to_ids(PICTURES["context_image_token"]),
        image_seq_length=16,
        tie_word_embeddings=False,
    )
    processor = InternVLProcessor(
        image_processor=GotOcr2ImageProcessor(size=side, crop_to_patches=True, min_patches=1, max_patches=2),
        tokenizer=words,
        video_processor=InternVLVideoProcessor(size=side),
        image_seq_length=16,
        chat_template=INTERNVL_CHAT,
    )
    save(folder, InternVLForConditionalGeneration, config, processor)
