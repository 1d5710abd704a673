import numpy as np
import pytest
import torch

from tests.bench.real.conftest import PATCH, SIDE, VISION, clip, saved
from vidfold.bench.real.tower import Tower

PICTURES = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), np.uint8)


def siglip():
    from transformers import SiglipVisionConfig, SiglipVisionModel

    return SiglipVisionModel(SiglipVisionConfig(**VISION))


def dinov2():
    from transformers import Dinov2Config, Dinov2Model

    return Dinov2Model(Dinov2Config(**VISION | {"mlp_ratio": 2}))


@pytest.mark.parametrize("build", [clip, siglip, dinov2])
def test_features_are_the_patches_of_a_hidden_state(tmp_path, build):
    tower = Tower.load(saved(build(), tmp_path))
    tokens = tower(PICTURES)
    shown = tower.processor(images=list(PICTURES), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        states = tower.vision(shown, output_hidden_states=True).hidden_states
    cells = (SIDE // PATCH) ** 2
    torch.testing.assert_close(tokens.features, states[-2][:, -cells:])
    assert tokens.grid == (SIDE // PATCH, SIDE // PATCH)
    assert tower.depth == 2
    # Every patch and the class token attend with a weight of 1 in all, some of it to the class token.
    total = tokens.deep.sum(1)
    assert ((total > cells - 1) & (total <= states[0].shape[1] + 1e-4)).all()
    assert tokens.keys.shape == (3, cells, VISION["hidden_size"] // VISION["num_attention_heads"])


def test_other_weights_or_another_layer_have_another_fingerprint(clip_folder, tmp_path):
    towers = [Tower.load(clip_folder), Tower.load(clip_folder), Tower.load(clip_folder, -1)]
    towers.append(Tower.load(saved(clip(1), tmp_path)))
    marks = [each.fingerprint for each in towers]
    assert marks[0] == marks[1]
    assert len(set(marks)) == 3


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match="nowhere' cannot be loaded as a vision tower"):
        Tower.load(str(tmp_path / "nowhere"))


def test_a_layer_beyond_the_tower_is_refused(clip_folder):
    with pytest.raises(ValueError, match=r"must be an integer from -4 to 3 .* got 4"):
        Tower.load(clip_folder, 4)
