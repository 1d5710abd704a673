"""Real processors of the Qwen line with a small tokenizer: what they lay out is what the families fold."""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers import models as tokenizers_models
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from tests.models import qwen2_5_vl_model, qwen2_vl_model, qwen3_vl_model, qwen3_vl_moe_model, qwen_vl_model
from tests.models.qwen_vl_model import PATCH
from vidfold import AOT, Identity, fold, models
from vidfold.app.asking import ask, processed
from vidfold.app.loading import VideoModel
from vidfold.video import Frames

SPECIAL = ["<pad>", "<bos>", "<eos>", "<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
"""At the ids that the small models know them by."""
TEMPLATE = (
    "{% for message in messages %}{{ '<bos>' + message['role'] + ' ' }}{% for part in message['content'] %}"
    "{% if part['type'] == 'video' %}{{ '<|vision_start|><|video_pad|><|vision_end|>' }}"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
)
KINDS = {
    qwen2_vl_model: (Qwen2VLProcessor, Qwen2VLVideoProcessor),
    qwen2_5_vl_model: (Qwen2_5_VLProcessor, Qwen2VLVideoProcessor),
    qwen3_vl_model: (Qwen3VLProcessor, Qwen3VLVideoProcessor),
    qwen3_vl_moe_model: (Qwen3VLProcessor, Qwen3VLVideoProcessor),
}


def tokenizer():
    made = Tokenizer(tokenizers_models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator(["what ?"], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        eos_token="<eos>",
        padding_side="left",
        extra_special_tokens={"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"},
    )


@pytest.fixture(params=KINDS, ids=lambda case: case.__name__.rpartition(".")[2], scope="module")
def loaded(request):
    words = tokenizer()
    case, (processor, videos) = request.param, KINDS[request.param]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(qwen_vl_model.TEXT, "vocab_size", len(words))
        model = case.build()
    sizes = {"patch_size": PATCH, "merge_size": 2, "temporal_patch_size": 2}
    made = processor(
        image_processor=Qwen2VLImageProcessor(**sizes),
        tokenizer=words,
        video_processor=videos(**sizes, size={"shortest_edge": 256, "longest_edge": 6 * 32 * 48}),
        chat_template=TEMPLATE,
    )
    return VideoModel("small", model, made, 0.0)


def clip(count):
    pixels = np.random.default_rng(0).integers(0, 255, (count, 32, 48, 3), dtype=np.uint8)
    times = np.arange(count) * 0.5
    return Frames(pixels, times, duration=count / 2, fps=24.0, total=12 * count, decoded=count)


def test_prompt_layout_of_the_family(loaded):
    inputs = processed(loaded, clip(5), ["what ?", "what what what ?"])
    assert inputs["mm_token_type_ids"].shape == inputs["input_ids"].shape
    steps = inputs["video_grid_thw"][:, 0]
    assert steps.tolist() == [3, 3]  # the last of five frames fills a temporal patch with itself
    videos = models.encode(loaded.model, inputs)
    assert len(videos) == 2
    settings = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False, "suppress_tokens": list(range(7))}
    stock = loaded.model.generate(**inputs, **settings)
    with fold(loaded.model, Identity()), torch.no_grad():
        assert torch.equal(loaded.model.generate(**inputs, **settings), stock)


def test_timestamps_of_a_processed_clip(loaded):
    if "timestamps" not in models.family(loaded.model).gives:
        return
    (video,) = models.encode(loaded.model, processed(loaded, clip(6), ["what ?"]), frozenset({"timestamps"}))
    assert video.timestamps.tolist() == pytest.approx([0, 1, 2], abs=0.3)


def test_ask_a_question(loaded):
    plain = ask(loaded, clip(4), "what ?", max_new_tokens=3)
    folded = ask(loaded, clip(4), "what ?", AOT(retention=0.2), max_new_tokens=3)
    assert plain.tokens_before == folded.tokens_before
    assert folded.tokens_after == round(0.2 * folded.tokens_before)
