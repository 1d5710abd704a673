"""Ask questions about a clip through the processor, each in its own chat: what all faster ways must equal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidfold.tiny.questions import questions
from vidfold.tiny.scenes import Clip

if TYPE_CHECKING:
    from transformers import LlavaOnevisionForConditionalGeneration
    from transformers.models.llava_onevision import LlavaOnevisionProcessor


def chats(processor: "LlavaOnevisionProcessor", frames: NDArray[np.uint8], texts: Sequence[str]) -> dict[str, Tensor]:
    """Model inputs for questions about one clip (F, H, W, 3), padded on the left; the pixels are there for each."""
    turns = [[{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": text}]}] for text in texts]
    prompts = [processor.apply_chat_template(turn, add_generation_prompt=True) for turn in turns]
    return dict(processor(text=prompts, videos=[frames] * len(texts), padding=True, return_tensors="pt"))


def prompts(processor: "LlavaOnevisionProcessor", clip: Clip) -> tuple[dict[str, Tensor], Tensor]:
    """Model inputs for all questions about a clip, with its pixels once, and the token ids of the true answers."""
    asked = questions(clip)
    inputs = chats(processor, clip.frames, [question.text for question in asked])
    inputs["pixel_values_videos"] = inputs["pixel_values_videos"][:1]
    truth: Any = processor.tokenizer.convert_tokens_to_ids([question.answer for question in asked])
    return inputs, torch.tensor(truth)


def ask(
    model: "LlavaOnevisionForConditionalGeneration",
    processor: "LlavaOnevisionProcessor",
    frames: NDArray[np.uint8],
    texts: Sequence[str],
) -> Tensor:
    """New tokens (questions, n) of ``generate()`` for questions about one clip (F, H, W, 3)."""
    inputs = {name: value.to(model.device) for name, value in chats(processor, frames, texts).items()}
    output = model.generate(**inputs, max_new_tokens=2, do_sample=False)
    new: Tensor = output[:, inputs["input_ids"].shape[1] :]
    return new
