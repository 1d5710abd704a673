"""Accuracy on packed questions, fast enough to use during training."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lab.packing import ASK, Batch, by_kind, pack, project, read, see
from vidfold.tiny.scenes import FRAMES, seeds

if TYPE_CHECKING:
    from transformers import LlavaOnevisionForConditionalGeneration

_CLIPS = 16


@torch.inference_mode()
def answer(model: "LlavaOnevisionForConditionalGeneration", batch: Batch, share: float = 1.0, seed: int = 0) -> Tensor:
    """The most likely answer to every packed question, from a random ``share`` of the tokens, (B, slots) int64."""
    tokens = project(model, see(model, batch.pixels.flatten(0, 1)), len(batch.ids))
    kept = max(1, round(share * tokens.shape[1]))
    rng = torch.Generator().manual_seed(seed)
    chosen = torch.rand(tokens.shape[:2], generator=rng).topk(kept).indices.sort().values.to(tokens.device)
    final, _ = read(model, tokens.take_along_dim(chosen[..., None], 1), batch.ids)
    logits: Tensor = model.lm_head(final[:, ASK])
    return logits.argmax(-1)


def accuracy(
    model: "LlavaOnevisionForConditionalGeneration",
    grid: int,
    clips: int,
    share: float = 1.0,
    frames: int = FRAMES,
    world: str = "first",
) -> dict[str, float]:
    """Accuracy of every kind over the first ``clips`` clips of the search split."""
    members = seeds("search", clips, world=world)
    right, valid = [], []
    for start in range(0, clips, _CLIPS):
        batch = pack(members[start : start + _CLIPS], grid, frames).to(model.device)
        right.append(answer(model, batch, share, seed=start) == batch.answers)
        valid.append(batch.valid)
    return {kind: mean.item() for kind, mean in by_kind(torch.cat(right), torch.cat(valid)).items()}
