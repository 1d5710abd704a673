"""Random videos of any shape, content, dtype and layout, folded by every method with any retention."""

from dataclasses import fields, replace

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.conftest import make_video
from vidfold import Pooling, VideoTokens
from vidfold.reducers import METHODS, InnerReducer, get

NAMES = [name for name, method in METHODS.items() if not issubclass(method, InnerReducer)]
CONTENTS = ["moving", "still", "repeating", "empty", "large", "largest"]


def any_video(
    frames: int, grid: tuple[int, int], pooling: Pooling, content: str, dtype: torch.dtype, seed: int
) -> VideoTokens:
    """A small video with everything that a tower can tell."""
    video = make_video(frames=frames, grid=grid, channels=4, pooling=pooling, seed=seed)
    features, attention = video.features, {"shallow": video.shallow, "deep": video.deep}
    if content == "still":
        features = features[:1].expand(frames, -1, -1)
    elif content == "repeating":
        features = features.round()
    elif content == "empty":
        features, attention = torch.zeros_like(features), dict.fromkeys(attention, torch.zeros_like(video.deep))
    elif content == "large":
        features = features * 1e18
    elif content == "largest":
        features = features.sign() * torch.finfo(dtype).max
    features = features.to(dtype)
    return replace(video, features=features, keys=video.keys[..., :3], head_attention=attention["shallow"], **attention)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(
    frames=st.integers(1, 9),
    grid=st.tuples(st.integers(2, 7), st.integers(2, 7)),
    pooling=st.sampled_from(list(Pooling)),
    content=st.sampled_from(CONTENTS),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    retention=st.floats(1e-3, 1),
    threshold=st.sampled_from([-1.0, 0.3, 0.8, 1.0]),
    seed=st.integers(0, 99),
)
@example(1, (5, 7), Pooling.NONE, "largest", torch.float32, 0.125, 0.8, 5)
def test_any_video(name, frames, grid, pooling, content, dtype, retention, threshold, seed):
    video = any_video(frames, grid, pooling, content, dtype, seed)
    choices = {
        "retention": retention,
        "anchors": max(1, round(retention * grid[0] * grid[1])),
        **dict.fromkeys(("threshold", "temporal_threshold", "segment_threshold"), threshold),
    }
    reducer = get(name, **{field.name: choices[field.name] for field in fields(METHODS[name]) if field.name in choices})
    reduction = reducer(video, weights=True)

    assert reduction.tokens.dtype == dtype
    assert torch.isfinite(reduction.tokens).all()
    place = reduction.frames * video.cells + reduction.cells
    assert (place >= 0).all()
    assert (place < frames * video.cells).all()
    if reducer.exact:
        assert len(reduction) == reducer.count(frames, video.cells)
        assert (place.diff() > 0).all(), "reading order, each cell once"
    dense = reduction.weights.to_dense()
    assert (dense >= 0).all()
    torch.testing.assert_close(dense.sum(1), torch.ones(len(reduction)))
    if name != "aot-reference" and dtype == torch.float32:  # that one merges before pooling
        sources = replace(video, features=video.features.double()).pooled().flatten(0, 1)
        scale = max(1.0, float(sources.abs().max()))
        torch.testing.assert_close(
            reduction.tokens.double() / scale, dense.double() @ (sources / scale), atol=1e-5, rtol=1e-5
        )

    elsewhere = video.features.transpose(0, 1).clone().transpose(0, 1)
    again = reducer(replace(video, features=elsewhere), weights=True)
    assert torch.equal(again.tokens, reduction.tokens)
    assert torch.equal(again.frames * video.cells + again.cells, place)
