import dataclasses

import numpy as np
import ot
import pytest
import torch

from tests.conftest import make_video
from vidfold import Identity, Random
from vidfold.bench.features import coverage, features, nearest_cosine, quantisation_error, transport_cost
from vidfold.tokens import Pooling


def points(count: int, seed: int, width: int = 6) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def plain_distances(tokens, kept) -> list[float]:
    """Squared distance of every unit token to the nearest kept one, with loops."""
    nearest = []
    for token in tokens.double().tolist():
        length = sum(x * x for x in token) ** 0.5
        best = float("inf")
        for other in kept.double().tolist():
            size = sum(x * x for x in other) ** 0.5
            best = min(best, sum((x / length - y / size) ** 2 for x, y in zip(token, other, strict=True)))
        nearest.append(best)
    return nearest


@pytest.mark.parametrize("entries", [1, 50, 1 << 20])
def test_quantisation_error_and_coverage_equal_loops(entries):
    tokens, kept = points(40, 0), points(7, 1)
    plain = plain_distances(tokens, kept)
    nearest = nearest_cosine(tokens, kept, entries=entries)
    np.testing.assert_allclose(2 - 2 * nearest.numpy(), plain, atol=1e-5)
    assert quantisation_error(nearest) == pytest.approx(sum(plain) / 40, abs=1e-5)
    for threshold in (0.3, 0.6, 0.9):
        share = sum(1 - distance / 2 >= threshold for distance in plain) / 40
        assert coverage(nearest, threshold) == pytest.approx(share)


def test_norm_of_a_token_does_not_matter():
    tokens, kept = points(40, 0), points(7, 1)
    stretched = kept * torch.linspace(0.1, 10, 7)[:, None]
    plain, other = (quantisation_error(nearest_cosine(tokens, each)) for each in (kept, stretched))
    assert other == pytest.approx(plain, abs=1e-6)


def test_zero_token_has_cosine_zero():
    nearest = nearest_cosine(torch.zeros(3, 4), points(2, 0, 4))
    assert quantisation_error(nearest) == 2
    assert coverage(nearest) == 0


def test_transport_cost_equals_another_solver():
    tokens, kept = points(30, 2), points(5, 3)
    cost = 1 - torch.nn.functional.cosine_similarity(tokens[:, None], kept[None], dim=-1).double().numpy()
    plan = ot.sinkhorn(np.full(30, 1 / 30), np.full(5, 1 / 5), cost, reg=0.1, stopThr=1e-10, numItermax=10_000)
    assert transport_cost(tokens, kept) == pytest.approx((plan * cost).sum(), abs=2e-3)


def test_transport_in_parts_is_close_to_the_whole():
    tokens, kept = points(400, 4), points(5, 5)
    whole = transport_cost(tokens, kept)
    parts = transport_cost(tokens, kept, entries=100 * 5)
    assert parts == pytest.approx(whole, rel=0.03)


def test_more_tokens_are_better():
    tokens = make_video()
    few, many = (features(tokens, Random(retention)(tokens)) for retention in (0.05, 0.5))
    assert many["quantisation_error"] < few["quantisation_error"]
    assert many["coverage"] > few["coverage"]
    assert many["transport"] < few["transport"]


def test_all_tokens_are_perfect():
    tokens = make_video()
    kept = features(tokens, Identity()(tokens))
    assert kept["quantisation_error"] == pytest.approx(0, abs=1e-5)
    assert kept["coverage"] == 1


def test_newlines_are_ignored():
    tokens = make_video(pooling=Pooling.AVERAGE)
    reduction = Random(0.1)(tokens)
    with_newline = dataclasses.replace(
        reduction,
        tokens=torch.cat([reduction.tokens, points(1, 6, 16)]),
        frames=torch.cat([reduction.frames, reduction.frames[-1:]]),
        cells=torch.cat([reduction.cells, torch.tensor([tokens.cells])]),
    )
    assert features(tokens, with_newline) == features(tokens, reduction)


def test_half_precision_is_measured_in_float32():
    tokens = make_video(dtype=torch.bfloat16)
    assert 0 < features(tokens, Random(0.1)(tokens))["quantisation_error"] < 4


def test_bad_sizes_raise():
    with pytest.raises(ValueError, match="entries must be a whole number of at least 1, got 0"):
        transport_cost(points(3, 0), points(2, 1), entries=0)
