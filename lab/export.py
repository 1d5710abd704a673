"""Save a trained model as a standard transformers folder, and check that it answers as it did in training."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lab.asking import ask
from lab.packing import asked, pack
from lab.processing import processor
from lab.scoring import answer
from vidfold.models import load
from vidfold.tiny.scenes import render, seeds
from vidfold.tiny.textures import SIZE

if TYPE_CHECKING:
    from transformers import LlavaOnevisionForConditionalGeneration

_SMALLEST_AGREEMENT = 0.98  # fp16 weights and a different order of sums may change a few close answers


def export(model: "LlavaOnevisionForConditionalGeneration", patch: int, folder: Path) -> None:
    """Writes weights (fp16), configuration, tokenizer, processor and chat template to ``folder``.

    Raises ``RuntimeError`` if ``generate()`` with the folder and packed scoring disagree on more than 2 % of answers.
    """
    from transformers import LlavaOnevisionForConditionalGeneration

    weights = {name: tensor.to(torch.float16) for name, tensor in model.state_dict().items()}
    half = LlavaOnevisionForConditionalGeneration(model.config).half()
    half.load_state_dict(weights)
    half.save_pretrained(folder)
    processor(patch).save_pretrained(folder)
    agreement = generation_agreement(folder)
    if agreement < _SMALLEST_AGREEMENT:
        raise RuntimeError(f"generate() on {folder} agrees with packed answers on only {agreement:.1%} of questions")


def generation_agreement(folder: Path, clips: int = 12) -> float:
    """Share of questions about search clips where ``generate()`` with the folder and packed scoring agree."""
    model, reader = load(str(folder), dtype=torch.float32)
    same: list[Tensor] = []
    for seed in seeds("search", clips):
        packed = answer(model, pack([seed], SIZE // model.config.vision_config.patch_size))[0]
        clip = render(seed)
        put = {slot: question.text for slot, question in enumerate(asked(clip)) if question is not None}
        generated = ask(model, reader, clip.frames, list(put.values()))
        same.append(generated[:, 0] == packed[list(put)])
    return torch.cat(same).float().mean().item()
