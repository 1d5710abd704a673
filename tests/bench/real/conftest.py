import pytest
import torch

from vidfold import video
from vidfold.tiny import render

SIDE, PATCH, WIDTH = 32, 8, 32
VISION = {
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": PATCH,
}


def saved(model, folder):
    from transformers import CLIPImageProcessor

    model.save_pretrained(folder)
    size = {"height": SIDE, "width": SIDE}
    CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=size).save_pretrained(folder)
    return str(folder)


def clip(seed=0):
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(seed)
    return CLIPVisionModelWithProjection(CLIPVisionConfig(**VISION, projection_dim=16))


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory):
    return saved(clip(), tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    """Three videos of 24 frames, one of 5, and a file that is no video."""
    folder = tmp_path_factory.mktemp("videos")
    for seed, frames in enumerate((24, 24, 24, 5)):
        video.write(folder / f"{seed}.mp4", render(seed, frames).frames, fps=8)
    (folder / "notes.txt").write_text("not a video")
    return folder
