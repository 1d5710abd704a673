"""One training step of the tiny model: trained parameters, losses, and gradients averaged over processes."""

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from lab.architecture import TinyConfig, build
from lab.attention import use_chunked_attention
from lab.losses import FrameReader, PatchReader, PlaceReader, WordAlignment
from lab.packing import ASK, NAMED_SLOTS, NAMES, Batch, by_kind, pool, project, read, see
from lab.recipe import Stage, learning_rate
from vidfold.tiny.language import END, VOCABULARY

if TYPE_CHECKING:
    from transformers import LlavaOnevisionForConditionalGeneration

_SHORTEST = 0.05
_PLACE_WEIGHT = 3.0
_MOST = 640  # longer clips are read whole less often, since time grows with their number of tokens


class Learner:
    """The model with its training-only parts, on one device in one process."""

    def __init__(self, sizes: TinyConfig, device: torch.device, bfloat16: bool = True) -> None:
        self.sizes, self.device, self.bfloat16 = sizes, device, bfloat16
        self.model: LlavaOnevisionForConditionalGeneration = build(sizes).to(device)
        if device.type == "cpu":
            use_chunked_attention(self.model)
        torch.manual_seed(1)
        self.reader = PatchReader(sizes.vision_width).to(device)
        self.alignment = WordAlignment().to(device)
        self.frame_reader = FrameReader(sizes.vision_width).to(device)
        self.place_reader = PlaceReader(sizes.vision_width).to(device)
        self.parameters: list[nn.Parameter] = []
        self.optimizers: list[torch.optim.Optimizer] = []

    def enter(self, stage: Stage, optimizers: list[dict[str, Any]] | None = None) -> None:
        """Sets which parameters a stage trains; optimizers start fresh, or from saved states."""
        self.model.requires_grad_(stage.trains == "language")
        tower = self.model.model.vision_tower
        tower.requires_grad_(stage.trains == "vision")
        tower.post_layernorm.requires_grad_(False)  # its output is not what the language model reads
        learning = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        tables = {id(self.model.get_input_embeddings().weight), id(tower.embeddings.position_embedding.weight)}
        matrices = [parameter for parameter in learning if parameter.ndim == 2 and id(parameter) not in tables]
        others = [parameter for parameter in learning if parameter.ndim != 2 or id(parameter) in tables]
        readers = [self.reader, self.frame_reader, self.place_reader]
        extras = readers if stage.trains == "vision" else [self.alignment]
        others += [parameter for extra in extras for parameter in extra.parameters()]
        self.parameters = [*matrices, *others]
        self.optimizers = [
            torch.optim.Muon(matrices, lr=stage.muon, momentum=0.95, weight_decay=0.01),
            torch.optim.AdamW(others, lr=stage.adam, betas=(0.9, 0.98), weight_decay=0.0),
        ]
        for optimizer, state in zip(self.optimizers, optimizers or [], strict=False):
            optimizer.load_state_dict(state)

    def step(self, stage: Stage, number: int, batch: Batch, processes: int) -> dict[str, Tensor]:
        """One update from the clips of all processes; losses and accuracies of this process's clips by name."""
        batch = batch.to(self.device)
        progress = number / stage.steps
        for optimizer, peak in zip(self.optimizers, (stage.muon, stage.adam), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * learning_rate(progress, number)
        with self._precision():
            losses, right = (
                self._vision_losses(batch, stage.presence)
                if stage.trains == "vision"
                else self._language_losses(batch, progress, stage.first + number, stage.whole)
            )
        torch.autograd.backward(torch.stack(list(losses.values())).sum())
        self._share_gradients(processes)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return {name: value.detach() for name, value in (losses | right).items()}

    def _vision_losses(self, batch: Batch, presence: float) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Weighted losses of a vision stage; it has no questions, so no accuracies."""
        states = see(self.model, batch.pixels.flatten(0, 1))
        shown = batch.patches.flatten(0, 1)
        losses = {"patch": self.reader(states, shown), "place": _PLACE_WEIGHT * self.place_reader(states)}
        if presence:
            losses["presence"] = presence * self.frame_reader(states, shown)
        return losses, {}

    def _language_losses(
        self, batch: Batch, progress: float, seed: int, whole: float
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Weighted losses of a language stage, and the accuracy of every kind."""
        clips, frames = batch.pixels.shape[:2]
        with torch.no_grad():
            states = see(self.model, batch.pixels.flatten(0, 1))
        tokens = project(self.model, states, clips)
        shown = (pool(batch.patches.flatten(0, 1).float()) > 0).view(*tokens.shape[:2], -1)
        rng = torch.Generator().manual_seed(seed)
        chosen = select(clips, frames, self.sizes.cells, rng, whole).to(self.device)[..., None]
        tokens, shown = tokens.take_along_dim(chosen, 1), shown.take_along_dim(chosen, 1)
        losses, right = self._answer_losses(tokens, batch)
        weight = 0.3 * max(0.0, 1 - progress / 0.8)
        losses["align"] = weight * self.alignment(tokens, self.model.get_input_embeddings().weight, shown)
        return losses, right

    def _answer_losses(self, tokens: Tensor, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Losses of answer, end of turn and binding; accuracy of every kind.

        Binding predicts the answer half way through the layers, at the word that names the subject of the question.
        Without it the model learns to answer the same shape for every colour.
        """
        final, early = read(self.model, tokens, batch.ids)
        head, norm = self.model.lm_head, self.model.model.language_model.norm
        logits, truth, valid = head(final[:, ASK]).float(), batch.answers, batch.valid
        end = head(final[:, ASK + 1]).float()
        bound = head(norm(early[:, NAMES])).float()
        losses = {
            "answer": _mean_loss(logits, truth, valid),
            "end": 0.1 * _mean_loss(end, torch.full_like(truth, VOCABULARY[END]), valid),
            "bind": 0.5 * _mean_loss(bound, truth[:, NAMED_SLOTS], valid[:, NAMED_SLOTS]),
        }
        return losses, by_kind(logits.argmax(-1) == truth, valid)

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)

    def _share_gradients(self, processes: int) -> None:
        """Averages gradients over processes, then clips their total norm to 1."""
        grads = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        if processes > 1:
            flat = torch.cat([grad.flatten() for grad in grads])
            distributed.all_reduce(flat)
            flat /= processes
            for grad, mean in zip(grads, torch.split(flat, [grad.numel() for grad in grads]), strict=True):
                grad.copy_(mean.view_as(grad))
        nn.utils.clip_grad_norm_(self.parameters, 1.0)

    def state(self) -> dict[str, Any]:
        """State of all trained parts."""
        return {
            "model": self.model.state_dict(),
            "reader": self.reader.state_dict(),
            "alignment": self.alignment.state_dict(),
            "frame_reader": self.frame_reader.state_dict(),
            "place_reader": self.place_reader.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Loads what `state` returned."""
        self.model.load_state_dict(state["model"])
        self.reader.load_state_dict(state["reader"])
        self.alignment.load_state_dict(state["alignment"])
        self.frame_reader.load_state_dict(state["frame_reader"])
        self.place_reader.load_state_dict(state["place_reader"])


def select(clips: int, frames: int, cells: int, rng: torch.Generator, whole: float) -> Tensor:
    """Which of ``frames * cells`` tokens the language model reads, (clips, n) int64, ascending.

    A share ``whole`` of the draws keeps all tokens: always if it is 1, else less often for long clips.  The others
    keep 5 to 100 % (log-uniform), at random: from the whole clip, or equally many from each frame.  A random choice
    favours no folding method.
    """
    total = frames * cells
    everything, share, by_frame = torch.rand(3, generator=rng).tolist()
    if whole == 1 or everything < whole * min(1.0, _MOST / total):
        return torch.arange(total).expand(clips, -1)
    kept = max(1, round(total * math.exp(share * math.log(_SHORTEST))))
    if by_frame < 0.5:
        return torch.rand(clips, total, generator=rng).topk(kept).indices.sort().values
    each = max(1, kept // frames)
    within = torch.rand(clips, frames, cells, generator=rng).topk(each).indices.sort().values
    return (within + torch.arange(frames)[:, None] * cells).flatten(1)


def _mean_loss(logits: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """Mean cross entropy of logits (B, slots, words) where ``valid``."""
    loss = functional.cross_entropy(logits.mT, truth, reduction="none")
    return (loss * valid).sum() / valid.sum().clamp_min(1)
