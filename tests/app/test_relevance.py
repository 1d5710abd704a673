"""Frames that fit a question are taken more often, and the rest is still covered."""

import numpy as np
import pytest
import torch
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTextConfig, CLIPVisionConfig

from tests.video.test_sampling import film
from vidfold.app.relevance import Relevant
from vidfold.video import sample


class Words:
    """A processor of pictures and of words, without a vocabulary file."""

    def __init__(self, size):
        self.images = CLIPImageProcessor(size={"shortest_edge": size}, crop_size=size)

    def __call__(self, images=None, text=None, **settings):
        if images is not None:
            return self.images(images, return_tensors="pt")
        from transformers import BatchFeature

        ids = torch.tensor([[1, *(ord(letter) % 90 + 3 for letter in text[0][:14]), 2]])
        return BatchFeature({"input_ids": ids, "attention_mask": torch.ones_like(ids)})


@pytest.fixture(scope="module")
def relevant():
    torch.manual_seed(0)
    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config=CLIPTextConfig(vocab_size=99, max_position_embeddings=16, eos_token_id=2, **vision).to_dict(),
        vision_config=CLIPVisionConfig(image_size=32, patch_size=16, **vision).to_dict(),
        projection_dim=8,
    )
    return Relevant(CLIPModel(config).eval(), Words(32), "a red ball")


def test_frames_of_a_video(relevant, tmp_path):
    found = sample(film(tmp_path / "clip.mp4"), 6, choose=relevant)
    assert len(found) == 6
    assert (np.diff(found.timestamps) > 0).all()


def test_relevant_times_get_more_frames(relevant):
    text = relevant._text
    assert text == pytest.approx(text / np.linalg.norm(text))
    other = np.linalg.qr(np.stack([text, np.ones(8), np.arange(8)]).T)[0].T[1]
    generator = np.random.default_rng(0)
    looks = np.where((np.arange(90) // 30 == 1)[:, None], text, other) + 0.05 * generator.normal(size=(90, 8))
    places = relevant.choose(looks / np.linalg.norm(looks, axis=1, keepdims=True), np.ones(90), 9)
    inside = (places >= 30) & (places < 60)
    assert inside.sum() > (~inside).sum()
    assert not inside[0], "the beginning is covered"
    assert not inside[-1], "the end is covered"


def test_nothing_fits_better(relevant):
    places = relevant.choose(np.ones((40, 8)), np.ones(40), 5)
    assert max(np.diff(places)) <= 16


def test_a_model_without_a_text_side(tmp_path):
    from transformers import BertConfig, BertModel

    BertModel(
        BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    ).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"cannot be loaded|does not compare"):
        Relevant.of(str(tmp_path), "what?")
    with pytest.raises(ValueError, match="'no/such/model/here' cannot be loaded"):
        Relevant.of("no/such/model/here", "what?")
