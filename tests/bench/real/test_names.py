import json

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from tests.bench.real.conftest import VISION, saved
from tests.bench.real.test_tower import dinov2
from vidfold.bench.real.names import Names
from vidfold.bench.real.tower import Tower

TOLD = ["dog", "tree", "car"]


@pytest.fixture
def told(tmp_path):
    (tmp_path / "names.json").write_text(json.dumps(TOLD))
    np.save(tmp_path / "texts.npy", np.random.default_rng(0).standard_normal((3, 16), np.float32))
    return tmp_path / "names.json", tmp_path / "texts.npy"


def test_a_lone_token_is_named_by_its_value(clip_folder, told):
    """Attention to one token is its value, whatever its query and key are."""
    tower = Tower.load(clip_folder)
    names = Names.load(tower, *told)
    token = torch.randn(5, VISION["hidden_size"])
    layer = tower.vision.encoder.layers[-1]
    with torch.no_grad():
        attended = layer.self_attn(layer.layer_norm1(token)[:, None], None)[0][:, 0]
        expected = tower.model.visual_projection(tower.vision.post_layernorm(attended))
    torch.testing.assert_close(names.vectors(token), normalize(expected, dim=-1))
    assert names.best(names.texts).tolist() == [0, 1, 2]


def whole(kind, tmp_path):
    """A small CLIP or SigLIP with both sides and a tokenizer of words."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    text = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"vocab_size": 16, "max_position_embeddings": 12, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    text |= {"projection_size": 32}
    config = getattr(transformers, f"{kind}Config")(text_config=text, vision_config=VISION, projection_dim=16)
    folder = saved(getattr(transformers, f"{kind}Model")(config), tmp_path / kind)
    words = {word: place for place, word in enumerate(["[PAD]", "[BOS]", "[EOS]", "[UNK]", *TOLD])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", eos_token="[EOS]", model_max_length=12
    ).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["CLIP", "Siglip"])
def test_a_text_side_gives_the_vectors_of_names(kind, told, tmp_path):
    names = Names.load(Tower.load(whole(kind, tmp_path)), told[0])
    assert names.texts.shape[0] == 3
    token = torch.randn(4, VISION["hidden_size"])
    assert names.best(names.vectors(token)).shape == (4,)


def test_what_gives_no_names_says_why(clip_folder, told, tmp_path):
    with pytest.raises(ValueError, match="no side that it shares with texts"):
        Names.load(Tower.load(saved(dinov2(), tmp_path)), *told)
    with pytest.raises(ValueError, match=r"layer before the last one \(--layer -2\), got -1"):
        Names.load(Tower.load(clip_folder, -1), *told)
    with pytest.raises(ValueError, match="no text side: give vectors of the names"):
        Names.load(Tower.load(clip_folder), told[0])
    np.save(told[1], np.zeros((2, 16), np.float32))
    with pytest.raises(ValueError, match="3 names, but 2 vectors"):
        Names.load(Tower.load(clip_folder), *told)
