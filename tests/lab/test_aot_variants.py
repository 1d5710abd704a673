"""The variants of the ablation: each keeps the budget, and differs from the default."""

import pytest
import torch

from lab import aot_variants
from tests.conftest import make_video
from vidfold import AOT

VARIANTS = {
    name: kind for name, kind in vars(aot_variants).items() if getattr(kind, "__module__", "") == aot_variants.__name__
}


@pytest.mark.parametrize("segments", ["uniform", ((0, 5), (5, 1), (6, 3))], ids=["uniform", "unequal"])
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_variants_keep_the_budget_and_differ(variant, segments):
    video = make_video(frames=9, grid=(12, 12), channels=200)
    reduction = variant(retention=0.2, segments=segments)(video)
    assert len(reduction) == AOT(retention=0.2).count(9, video.cells)
    assert torch.isfinite(reduction.tokens).all()
    assert (reduction.tokens != 0).any(1).all()
    assert not torch.equal(reduction.tokens, AOT(retention=0.2, segments=segments)(video).tokens)
