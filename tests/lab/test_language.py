"""A language model reads the clips of photographs: which cells show what, and what ridge regression makes of them."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize, one_hot

from lab.photos.clips import compose
from lab.photos.groups import GROUPS
from lab.photos.language import AFTER, BEFORE, Speaker, right, seen, shown
from lab.photos.shots import VIEWS
from tests.lab.test_photos import pool as shots  # noqa: F401

pytestmark = pytest.mark.lab


@pytest.fixture
def folder(tmp_path):
    """A small random model with a tokenizer of words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = dict.fromkeys(["[UNK]", *f"{BEFORE} {AFTER}".split(), *GROUPS])
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]").save_pretrained(tmp_path)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(words), **sizes)).save_pretrained(tmp_path)
    return tmp_path


class Encoded:
    """Shots whose cells tell their group."""

    def __init__(self, members):
        self.shots = members
        cells = torch.zeros(len(members), VIEWS, 49, len(GROUPS))
        self.cells = cells.numpy()
        for number in range(len(members)):
            cells[number] = one_hot(shown(self, number), len(GROUPS)).view(VIEWS, 49, -1)


def test_ridge_regression_finds_the_words_of_groups(folder, shots):  # noqa: F811
    speaker = Speaker(folder, len(GROUPS))
    speaker.fit(Encoded(shots))
    projected = (torch.eye(len(GROUPS)) - speaker.mean) / speaker.scale @ speaker.matrix
    words = speaker.targets - speaker.targets.mean(0)
    assert (normalize(projected, dim=-1) @ normalize(words, dim=-1).T).argmax(1).tolist() == [*range(len(GROUPS))]
    assert speaker(torch.zeros(2, 5, len(GROUPS))).shape == (2, len(GROUPS))


def test_pairs_of_seen_and_unseen_groups(shots):  # noqa: F811
    there = seen(compose(shots, "train", 0, 8))
    assert 0 < there.sum() < len(GROUPS)
    assert right(there.astype(np.float32), there) == 1
    assert right(-there.astype(np.float32), there) == 0
