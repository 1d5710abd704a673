"""AOT's recorded numbers, on an input without near ties."""

import pytest
import torch

from tests.conftest import load_golden
from vidfold import AOT, Pooling, VideoTokens

GOLDEN = load_golden("aot/own")
SETTINGS = GOLDEN["settings"]


@pytest.mark.parametrize("case", SETTINGS)
def test_equals_recorded_numbers(case):
    video = VideoTokens(GOLDEN["features"].float() / 32, (12, 12), Pooling.BILINEAR)
    reduction = AOT(**SETTINGS[case])(video)
    assert torch.equal(reduction.frames * video.cells + reduction.cells, GOLDEN[f"{case}_places"].long())
    torch.testing.assert_close(reduction.tokens, GOLDEN[f"{case}_tokens"], atol=1e-5, rtol=1e-5)
