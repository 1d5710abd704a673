"""One call of a model, folded or not: prompts as lmms-eval's own models of the same backbone are asked, generated
answers or likelihoods of given ones, with tokens and times.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vidfold import models
from vidfold.app.asking import Call, called, inputs_of, timed
from vidfold.app.loading import VideoModel
from vidfold.evaluation.settings import Settings
from vidfold.models.loading.published_processor import CHAT_TEMPLATE
from vidfold.reducers import InnerReducer, Reducer
from vidfold.video import Frames

LLAVA = ("llava_onevision", "llava_video")
"""Families that lmms-eval asks with its template "qwen_1_5"."""
NOT_PASSED = ("until", "image_aspect_ratio", "do_sample")
DRAWING = ("temperature", "top_p", "top_k")
"""Settings of ``generate`` that are used only when it samples."""

Result = str | tuple[float, bool]
"""Generated text; or the mean loss per token of a given answer, and whether greedy decoding gives that answer."""


Said = dict[str, Any]
"""What a model said to one prompt, as a part of its record.

``answer``, a `Result`; ``tokens``: number ``before`` and ``after`` folding, and the mean share ``inside`` that a layer
read; ``seconds`` by stage, the call's time divided by its rows.
"""


@dataclass(frozen=True, eq=False)
class Caller:
    """Calls one model.

    Attributes:
        loaded: the model.
        reducer: folds its videos; None does not fold.
        template: of its prompts, in Jinja; None: the processor's own.
    """

    loaded: VideoModel
    reducer: Reducer | None
    template: str | None

    @classmethod
    def of(cls, loaded: VideoModel, settings: Settings) -> "Caller":
        """The caller of a run.

        Raises:
            ValueError: the model cannot give what the method needs.
        """
        family, template = models.family(loaded.model), settings.template
        if settings.reducer is not None:
            family.check_needs(settings.reducer.needs)
        if template == "auto":
            writes = family.model_type in LLAVA and _writes(loaded.processor.tokenizer)
            template = "qwen_1_5" if writes else "own"
        chosen = CHAT_TEMPLATE if template == "qwen_1_5" else None
        return cls(loaded, settings.reducer, chosen)

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
        chats = [[{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": text}]}] for text in texts]
        prompts = [self.loaded.written(chat, self.template) for chat in chats]
        lengths = [0] * len(prompts)
        if answers is not None:
            whole = []
            for chat, answer in zip(chats, answers, strict=True):
                turn = {"role": "assistant", "content": [{"type": "text", "text": answer}]}
                whole.append(self.loaded.written([*chat, turn], self.template, add_generation_prompt=False))
            lengths = [self._more(*pair) for pair in zip(prompts, whole, strict=True)]
            prompts = whole
        return inputs_of(self.loaded, prompts, videos, padding_side="left"), lengths

    @torch.inference_mode()
    def generate(self, videos: Sequence[Frames], texts: Sequence[str], settings: Mapping[str, Any]) -> list[Said]:
        """Answer questions about videos of equally many frames; `generation` reads the settings."""
        (inputs, _), preprocess = timed(self.batch, videos=videos, texts=texts)
        call = called(self.loaded, self.reducer, "generate", inputs | generation(settings))
        answers = call.result[:, inputs["input_ids"].shape[1] :]
        decoded = self.loaded.processor.batch_decode(answers, skip_special_tokens=True)
        return _said([text.strip() for text in decoded], call, preprocess)

    @torch.inference_mode()
    def score(self, videos: Sequence[Frames], texts: Sequence[str], answers: Sequence[str]) -> list[Said]:
        """Mean losses of the tokens of given answers, the end of the turn among them, and whether each is greedy."""
        (inputs, lengths), preprocess = timed(self.batch, videos=videos, texts=texts, answers=answers)
        ids: Tensor = inputs["input_ids"]
        settings: dict[str, Any] = {"logits_to_keep": max(lengths) + 1}
        if isinstance(self.reducer, InnerReducer):
            # It ranks by the last token of the prompt; labels say where the answer begins.
            place = torch.arange(ids.shape[1], device=ids.device)
            is_answer = place >= ids.shape[1] - torch.tensor(lengths, device=ids.device)[:, None]
            settings = {"labels": torch.where(is_answer, ids, -100)}
        call = called(self.loaded, self.reducer, "score", inputs | settings)
        logits: Tensor = call.result.logits
        scores: list[Result] = []
        # Rows are padded on the left, so every answer ends where its row ends, folded or not.
        for row, length in enumerate(lengths):
            wanted, given = ids[row, -length:], logits[row, -length - 1 : -1].float()
            loss = torch.nn.functional.cross_entropy(given, wanted)
            scores.append((loss.item(), bool((given.argmax(-1) == wanted).all())))
        return _said(scores, call, preprocess)

    def _more(self, prompt: str, whole: str) -> int:
        """How many tokens longer the whole is than its beginning, the prompt."""
        if not whole.startswith(prompt):
            raise ValueError(
                f"the chat template of {self.loaded.name!r} does not put an answer after its prompt: give "
                "template=qwen_1_5"
            )
        tokenizer = self.loaded.processor.tokenizer
        return len(tokenizer(whole).input_ids) - len(tokenizer(prompt).input_ids)


def _said(answers: Sequence[Result], call: Call, preprocess: float) -> list[Said]:
    milliseconds = {"preprocess": preprocess} | call.milliseconds
    seconds = {stage: value / 1000 / len(answers) for stage, value in milliseconds.items()}
    return [
        {"answer": answer, "tokens": {"before": before, "after": after, "inside": call.inside}, "seconds": seconds}
        for answer, before, after in zip(answers, call.before, call.after, strict=True)
    ]


def _writes(tokenizer: Any) -> bool:
    """Whether the tokenizer knows the special tokens of the template."""
    ids = tokenizer("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n").input_ids
    return tokenizer.unk_token_id is None or tokenizer.unk_token_id not in ids


def generation(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of ``generate`` from those of a task, as lmms-eval's LLaVA models read them.

    Greedy unless the task asks for sampling; at most 1024 new tokens unless it gives a number. ``until`` is ignored: an
    answer ends with the model's turn.
    """
    drawn = bool(given.get("do_sample", (given.get("temperature") or 0) > 0))
    left_out = (*NOT_PASSED, *(() if drawn else DRAWING))
    passed = {name: value for name, value in given.items() if name not in left_out and value is not None}
    return {"max_new_tokens": 1024, "num_beams": 1, "do_sample": drawn} | passed
