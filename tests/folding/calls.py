"""Calls of a small LLaVA-OneVision, and what folding could leave on it."""

import torch

from tests.models import builders

GREEDY = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False}
FULL = {"return_dict_in_generate": True, "output_logits": True}


def two_rows(model, frames=2):
    """Two prompts of unequal length with a video each."""
    rows = [builders.prompt(model, frames, words=3), builders.prompt(model, frames, words=8, seed=1)]
    return builders.batch(rows) | {"pixel_values_videos": builders.pixels(model, videos=2, frames=frames)}


def row(model, number, frames=2):
    """One of the two prompts alone."""
    both = two_rows(model, frames)
    mask = both["attention_mask"][number].bool()
    return {
        "input_ids": both["input_ids"][number][mask][None],
        "attention_mask": torch.ones(1, int(mask.sum()), dtype=torch.long),
        "pixel_values_videos": both["pixel_values_videos"][number : number + 1],
    }


def image(model, words=3):
    """A prompt with one image; 6x6 patches, the base image and one tile."""
    size = model.config.vision_config.image_size
    patches = 36 + 36 + 6  # base, tile and a newline a row of the tile
    ids = [1] + [builders.IMAGE] * patches + [20] * words
    pixels = builders.pixels(model, videos=1, frames=2, seed=5)
    return builders.batch([ids]) | {"pixel_values": pixels, "image_sizes": torch.tensor([[size, size]])}


def shape_of(model):
    """Everything about a model object that folding could leave changed."""
    return {
        name: (
            type(module),
            dict(module.__dict__),
            {key: dict(value) for key, value in module.__dict__.items() if "hooks" in key and isinstance(value, dict)},
        )
        for name, module in model.named_modules()
    }


def masked_reference(model, inputs, kept):
    """Logits of the unfolded model at the last position when it may not attend to what was dropped."""
    video = inputs["input_ids"] == builders.VIDEO
    mask = inputs["attention_mask"].clone()
    for number, index in enumerate(kept):
        places = video[number].nonzero()[:-1, 0]
        mask[number, places] = 0
        mask[number, places[index]] = 1
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        return model(**inputs | {"attention_mask": mask}, position_ids=positions).logits[:, -1]
