import dataclasses

import pytest
import torch

from tests.conftest import load_golden, make_video, unpack
from tests.waiting import Waits
from vidfold import Pooling, Reduction, VideoTokens
from vidfold.tokens import check_values


@pytest.mark.parametrize(("pooling", "suffix"), [(Pooling.BILINEAR, "ov"), (Pooling.AVERAGE, "vid")])
def test_pooling_equals_golden(pooling, suffix):
    unit = load_golden("aot/unit")
    pooled = pooling(unit["pool_x"], (27, 27))
    torch.testing.assert_close(pooled, unit[f"pool_{suffix}"], atol=5e-6, rtol=0)
    mask = unpack(unit["pool_mask"], 729).float()[..., None]
    survives = pooling(mask, (27, 27))[..., 0] >= 0.5
    assert torch.equal(survives, unit[f"pool_mask_{suffix}"])


@pytest.mark.parametrize("grid", [(1, 1), (2, 3), (7, 5), (27, 27), (12, 12)])
@pytest.mark.parametrize("pooling", list(Pooling))
def test_language_grid_equals_the_pooled_grid(grid, pooling):
    features = torch.randn(2, grid[0] * grid[1], 4)
    if pooling is Pooling.AVERAGE and min(grid) < 2:
        with pytest.raises(ValueError, match="leaves nothing of grid"):
            VideoTokens(features, grid, pooling)
        return
    tokens = VideoTokens(features, grid, pooling)
    assert tokens.pooled().shape == (2, tokens.cells, 4)
    assert tokens.pool(features[..., 0]).shape == (2, tokens.cells)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": torch.zeros(3, 4)}, r"features must be a .* got shape \(3, 4\)"),
        ({"features": torch.zeros(0, 72, 4)}, "at least one frame"),
        ({"features": torch.zeros(6, 72, 16, dtype=torch.int64)}, "floating point, got torch.int64"),
        ({"features": torch.full((6, 72, 16), torch.nan)}, "6912 of 6912 values are NaN"),
        ({"grid": (9, 9)}, r"grid \(9, 9\) does not match the 72 patches"),
        ({"pooling": "bilinear"}, "pooling must be a vidfold.Pooling, got 'bilinear'"),
        ({"shallow": torch.zeros(6, 71)}, r"shallow must be a tensor of shape \(6, 72\), got shape \(6, 71\)"),
        ({"deep": -torch.ones(6, 72)}, "deep must not be negative"),
        ({"deep": torch.full((6, 72), torch.inf)}, "deep must be finite"),
        ({"newline": torch.zeros(15)}, r"newline must be a tensor of shape \(16\)"),
        ({"frame_features": torch.zeros(5, 3)}, r"frame_features must be a tensor of shape \(6, any\)"),
        ({"timestamps": [0.0]}, "timestamps must be a tensor"),
    ],
)
def test_bad_tokens_raise(change, message):
    good = make_video()
    fields = {"features": good.features, "grid": good.grid, "pooling": good.pooling} | change
    with pytest.raises(ValueError, match=message):
        VideoTokens(**fields)


def test_a_video_waits_for_the_device_once():
    video = make_video()
    fields = {field.name: getattr(video, field.name) for field in dataclasses.fields(video)}
    with Waits() as counted:
        VideoTokens(**fields)
    assert counted.waits == 1


def test_many_videos_are_checked_at_once():
    video = make_video()
    deep = torch.rand(6, 72)
    unchecked = [dataclasses.replace(video, deep=deep - shift, check=False) for shift in (0, 0, 2)]
    with Waits() as counted:
        check_values(unchecked[:2])
    assert counted.waits == 1
    with pytest.raises(ValueError, match="deep must not be negative"):
        check_values(unchecked)


def test_sums_beyond_float32_are_no_error():
    large = torch.full((6, 72, 16), torch.finfo(torch.float32).max)
    assert VideoTokens(large, (9, 8)).frames == 6


def test_what_is_printed_is_short():
    video = make_video()
    text = repr(dataclasses.replace(video, shallow=None))
    assert text.startswith("VideoTokens(features=float32 (6, 72, 16), grid=(9, 8), pooling=Pooling.")
    assert "shallow" not in text
    reduction = Reduction(video.features[0], torch.arange(72), torch.arange(72), grid=(9, 8), full=72)
    assert repr(reduction) == (
        "Reduction(tokens=float32 (72, 16), frames=int64 (72,), cells=int64 (72,), grid=(9, 8), full=72)"
    )


def test_newlines_do_not_count_in_retention():
    cells = torch.tensor([0, 3, 4, 4])
    reduction = Reduction(torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64), cells, grid=(2, 2), full=8)
    assert len(reduction) == 4
    assert reduction.newlines == 2
    assert reduction.retention == 0.25


def test_reduction_needs_matching_rows():
    with pytest.raises(ValueError, match=r"got \(4, 2\), \(3,\), \(4,\)"):
        Reduction(torch.zeros(4, 2), torch.zeros(3), torch.zeros(4), grid=(2, 2), full=8)
