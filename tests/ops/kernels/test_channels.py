"""Kernels for the channels in which tokens are compared, against torch; in Triton's interpreter if there is no GPU."""

import pytest
import torch
from torch.nn.functional import normalize

from vidfold.clips import Clips
from vidfold.ops.locality import located
from vidfold.ops.sketch import sketch

pytest.importorskip("triton", reason="the kernels need Triton")
channels = pytest.importorskip("vidfold.ops.kernels.channels")
Layout = pytest.importorskip("vidfold.ops.kernels.clip").Layout
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:triton")


@pytest.mark.parametrize(("size", "width"), [(100, 32), (7, 32), (40, None), (33, 32)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_units(size, width, dtype):
    values = torch.randn(70, size, generator=torch.Generator().manual_seed(0)).to(dtype)
    values[3] = 0
    expected = normalize(values.float() if width is None else sketch(values.float(), width), dim=1)
    torch.testing.assert_close(channels.units(values, width), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("width", [8, 100])
def test_located(width):
    """Clips of unequal length, the last of them empty."""
    units = normalize(torch.randn(7, 6, width, generator=torch.Generator().manual_seed(0)), dim=2)
    clips = Clips(torch.tensor([0, 2, 6, 7]), torch.tensor([2, 4, 1, 0]), 7, 4)
    expected = located(units, clips, (2, 3), 1.5).flatten(0, 1)
    layout = Layout(clips.starts, clips.lengths, 7, 6, 10, 4)
    found = channels.located(units.flatten(0, 1), layout, (2, 3), 1.5)
    torch.testing.assert_close(found[:, : width + 6], expected, atol=1e-6, rtol=1e-6)
    assert found.shape[1] % 16 == 0
    assert (found[:, width + 6 :] == 0).all()
