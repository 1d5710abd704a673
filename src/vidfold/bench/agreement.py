"""Agreement of a folded model with the unfolded one, for any model and any video; needs no true answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vidfold import models
from vidfold.bench.clips import Sample
from vidfold.bench.reading import counted
from vidfold.bench.settings import Fold
from vidfold.checks import check_count
from vidfold.folding import fold
from vidfold.models.base import Inputs
from vidfold.models.prompts.shorten import FILL
from vidfold.reducers import Identity
from vidfold.reducers.inner import InnerReducer
from vidfold.tokens import Reduction, VideoTokens

_IGNORED = -100


@dataclass(frozen=True, eq=False)
class Reference:
    """Greedy answers of the unfolded model to questions about one video.

    Folded models then read these answers too (teacher forcing), so at every position of an answer only the video
    differs. The end-of-answer token does not count as a position, unless the answer is empty.

    Attributes:
        model: the model.
        inputs: Q prompts followed by their answers, padded on the left; ``labels`` (Q, L) marks the answers.
        scores: (P, V) float32, log-probabilities at all P answer positions, question by question.
        first: (Q,) int64, the row of ``scores`` where each answer begins.
    """

    model: Any
    inputs: dict[str, Any]
    scores: Tensor
    first: Tensor

    @classmethod
    def of(cls, model: Any, prompts: Inputs, tokens: VideoTokens, *, max_new_tokens: int = 16) -> "Reference":
        """Answer the questions with all tokens.

        Args:
            model: of a supported family.
            prompts: Q questions about one video, from the model's processor; pixels are ignored.
            tokens: the video, from `vidfold.models.encode`.
            max_new_tokens: maximum length of an answer.
        """
        check_count("max_new_tokens", max_new_tokens)
        everything = Identity()(tokens)
        inputs = _answered(model, prompts, everything, max_new_tokens)
        answers = (inputs["labels"] != _IGNORED).sum(1)
        return cls(model, inputs, _forced(model, inputs, everything), answers.cumsum(0) - answers)

    def folded(self, reduction: Reduction) -> Tensor:
        """Log-probabilities (P, V) float32 at the same positions when the model reads ``reduction``."""
        return _forced(self.model, self.inputs, reduction)

    @torch.no_grad()
    def folded_inside(self, reducer: InnerReducer, video: Inputs) -> tuple[Tensor, float]:
        """The same for a method that works inside the language model, question by question.

        Args:
            reducer: the method.
            video: inputs with the video's pixels; their prompt is ignored.

        Returns:
            The log-probabilities, and the share of the video's tokens that the layers of the language model read,
            averaged over layers.
        """
        scores = []
        with fold(self.model, reducer) as folded:
            for row, mask in enumerate(self.inputs["attention_mask"].bool()):
                names = [name for name in ("input_ids", *FILL) if name in self.inputs]
                asked = {name: self.inputs[name][row, mask][None] for name in names}
                length = int((asked["labels"] != _IGNORED).sum())
                logits = self.model(**{**video, **asked}).logits[0, -length - 1 : -1]
                scores.append(logits.float().log_softmax(-1))
            assert folded.last is not None  # it was called
            return torch.cat(scores), folded.last.layer_retention

    def agreement(self, folded: Tensor) -> dict[str, float]:
        """Agreement of log-probabilities (P, V) from `folded` with the unfolded ones, mean over the positions.

        ``divergence`` is KL(unfolded || folded) of the next-token distributions, in nats; ``top1`` the share of
        positions where both have the same most likely token.
        """
        divergence = (self.scores.exp() * (self.scores - folded)).nansum(1).clamp_min(0)
        same = self.scores.argmax(1) == folded.argmax(1)
        return {"divergence": float(divergence.mean()), "top1": float(same.float().mean())}

    def answers(self, scores: Tensor) -> Tensor:
        """First tokens of the greedy answers from log-probabilities (P, V): (Q,) int64."""
        return scores[self.first].argmax(1)


def measure(
    sample: Sample, tokens: VideoTokens, folds: Sequence[Fold], *, max_new_tokens: int = 16
) -> list[dict[str, float]]:
    """Agreement of every fold, and right answers by kind if the true ones are known.

    For a method inside the language model, the measured share of the tokens as well.
    """
    reference = Reference.of(sample.loaded.model, sample.prompts, tokens, max_new_tokens=max_new_tokens)
    found = []
    for each in folds:
        values: dict[str, float] = {}
        if isinstance(each.reducer, InnerReducer):
            scores, values["layer_retention"] = reference.folded_inside(each.reducer, sample.video)
        else:
            assert each.reduction is not None  # only methods inside the language model have none
            scores = reference.folded(each.reduction)
        if sample.truth is not None:
            values |= counted(sample.questions, reference.answers(scores).cpu() == sample.truth)
        found.append(reference.agreement(scores) | values)
    return found


@torch.no_grad()
def _answered(model: Any, prompts: Inputs, everything: Reduction, max_new_tokens: int) -> dict[str, Any]:
    """The prompts followed by their greedy answers, padded on the left."""
    questions = len(prompts["input_ids"])
    spliced = models.splice(model, prompts, [everything] * questions)
    length = spliced["input_ids"].shape[1]
    new = model.generate(**spliced, max_new_tokens=max_new_tokens, do_sample=False)[:, length:]
    ends = model.generation_config.eos_token_id
    ended = torch.isin(new, new.new_tensor([] if ends is None else ends)).cumsum(1) > 0
    ended[:, 0] = False
    given = {"attention_mask": torch.ones_like(prompts["input_ids"])} | dict(prompts)
    behind = {"input_ids": new, "attention_mask": (~ended).long(), "labels": new.masked_fill(ended, _IGNORED)}
    given["labels"] = torch.full_like(prompts["input_ids"], _IGNORED)
    names = [name for name in ("input_ids", *FILL) if given.get(name) is not None]
    joined = {name: torch.cat([given[name], behind.get(name, torch.zeros_like(new))], 1) for name in names}
    # Move real positions to the right, keeping their order.
    mask = joined["attention_mask"]
    order = mask.argsort(dim=1, stable=True)[:, -int(mask.sum(1).max()) :]
    return dict(prompts) | {name: value.gather(1, order) for name, value in joined.items()}


@torch.no_grad()
def _forced(model: Any, inputs: Inputs, reduction: Reduction) -> Tensor:
    """Log-probabilities (P, V) float32 at the positions marked by ``labels``."""
    longest = int((inputs["labels"] != _IGNORED).sum(1).max())
    # Rows end with their answers; each token is predicted one position earlier.
    spliced = models.splice(model, {**inputs, "logits_to_keep": longest + 1}, [reduction] * len(inputs["input_ids"]))
    marked = spliced.pop("labels")[:, -longest:] != _IGNORED
    logits: Tensor = model(**spliced).logits[:, -longest - 1 : -1]
    return logits[marked].float().log_softmax(-1)
