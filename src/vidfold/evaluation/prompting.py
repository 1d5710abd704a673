"""Prompts as lmms-eval's own models of the same backbone are asked, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vidfold import models
from vidfold.app.asking import inputs_of
from vidfold.app.loading import VideoModel
from vidfold.evaluation.settings import Template
from vidfold.models.llava_video import LlavaVideo, time_instruction
from vidfold.models.loading.published_processor import CHAT_TEMPLATE
from vidfold.video import Frames

LLAVA = ("llava_onevision", "llava_video")
"""Families that lmms-eval asks with its template "qwen_1_5"."""


@dataclass(frozen=True, eq=False)
class Prompter:
    """Writes prompts for one model.

    Attributes:
        loaded: the model.
        template: a chat template in Jinja; None: the processor's own.
        add_time_instruction: whether a sentence with the times of the frames comes first.
    """

    loaded: VideoModel
    template: str | None
    add_time_instruction: bool = False

    @classmethod
    def of(cls, loaded: VideoModel, template: Template, *, add_time_instruction: bool = False) -> Prompter:
        """The prompter that the settings name; see `vidfold.evaluation.settings.Settings`."""
        if template == "auto":
            llava = models.family(loaded.model).model_type in LLAVA
            template = "qwen_1_5" if llava and _writes(loaded.processor.tokenizer) else "own"
        chosen = CHAT_TEMPLATE if template == "qwen_1_5" else None
        return cls(loaded, chosen, add_time_instruction=add_time_instruction)

    def batch(
        self, videos: Sequence[Frames], texts: Sequence[str], answers: Sequence[str] | None = None
    ) -> tuple[dict[str, Any], list[int]]:
        """Inputs of one call, padded on the left, on the model's device in its dtype.

        Args:
            videos: one a prompt; all of them of as many frames.
            texts: questions.
            answers: one per prompt, written behind it up to the end of the turn; None: prompts end where the answer
                begins.

        Returns:
            The inputs, and how many of the last tokens of each row are its answer.

        Raises:
            ValueError: a chat template that does not write the answer behind the prompt.
        """
        chats = [
            [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": self._asked(text, video)}]}]
            for video, text in zip(videos, texts, strict=True)
        ]
        prompts = [self.loaded.written(chat, self.template) for chat in chats]
        lengths = [0] * len(prompts)
        if answers is not None:
            turns = [{"role": "assistant", "content": [{"type": "text", "text": answer}]} for answer in answers]
            whole = [
                self.loaded.written([*chat, turn], self.template, add_generation_prompt=False)
                for chat, turn in zip(chats, turns, strict=True)
            ]
            lengths = [self._more(*pair) for pair in zip(prompts, whole, strict=True)]
            prompts = whole
        return inputs_of(self.loaded, prompts, videos, padding_side="left"), lengths

    def _asked(self, text: str, video: Frames) -> str:
        if not self.add_time_instruction:
            return text
        return f"{time_instruction(video.duration, video.timestamps.tolist())}\n{text}"

    def _more(self, prompt: str, whole: str) -> int:
        """How many tokens longer the whole is than its beginning, the prompt."""
        if not whole.startswith(prompt):
            raise ValueError(
                f"the chat template of {self.loaded.name!r} does not put an answer after its prompt: give "
                "template=qwen_1_5"
            )
        tokenizer = self.loaded.processor.tokenizer
        return len(tokenizer(whole).input_ids) - len(tokenizer(prompt).input_ids)


def every_second(loaded: VideoModel, force_sample: bool | None) -> bool:
    """Whether videos are sampled once a second; ``force_sample`` None is lmms-eval's default for the family."""
    if force_sample is not None:
        return not force_sample
    return isinstance(models.family(loaded.model), LlavaVideo)


def _writes(tokenizer: Any) -> bool:
    """Whether the tokenizer knows the special tokens of the template."""
    ids = tokenizer("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n").input_ids
    return tokenizer.unk_token_id is None or tokenizer.unk_token_id not in ids
