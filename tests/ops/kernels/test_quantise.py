"""Kernels that move anchors and give each a token, against torch; in Triton's interpreter if there is no GPU."""

import pytest
import torch
from torch import Tensor

from tests.ops.test_quantise import tokens
from vidfold.clips import Clips
from vidfold.linear import Mix
from vidfold.ops.quantise import quantise
from vidfold.ops.ranks import by_first_member

pytest.importorskip("triton", reason="the kernels need Triton")
kernels = pytest.importorskip("vidfold.ops.kernels.quantise")
exchange = pytest.importorskip("vidfold.ops.kernels.exchange")
groups = pytest.importorskip("vidfold.ops.kernels.groups")
clip = pytest.importorskip("vidfold.ops.kernels.clip")
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:triton")

CLOSE = 1e-4


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch):
    """So that few tokens and anchors are many tiles, and a token has several tiles of channels."""
    scan = type(clip.SCAN)(16)
    for module in (clip, kernels, groups):
        monkeypatch.setattr(module, "SCAN", scan)
    for module in (kernels, exchange):
        monkeypatch.setattr(module, "TILE", 16)
        monkeypatch.setattr(module, "DEPTH", 16)
        monkeypatch.setattr(module, "_WIDTH", 16)
    monkeypatch.setattr(exchange, "_RANKED", 16)
    monkeypatch.setattr(groups, "_TILE", 16)
    monkeypatch.setattr(groups, "_WIDTH", 4)
    for module in (kernels, groups):
        monkeypatch.setattr(module, "_MEMBERS", 2)


def by_torch(
    units: Tensor, values: Tensor, clips: Clips, total: int, rounds: int, coarse: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Means, places and targets of tokens (F, N, E) and values (F, N, D), each clip by itself."""
    offset, cells, labels, near = 0, units.shape[1], [], []
    counts = clips.shares(total).tolist()
    for start, length, count in zip(clips.starts.tolist(), clips.lengths.tolist(), counts, strict=True):
        rows = units[start : start + length].flatten(0, 1)[None]
        if length:
            there, one = torch.ones(1, length * cells, dtype=torch.bool), torch.tensor([max(1, count)])
            label, close = quantise(rows, there, one, max(1, count), rounds, coarse=coarse)
            labels.append(label[0] + offset if count else torch.full_like(label[0], total))
            near.append(close[0])
        offset += count
    label, close = torch.cat(labels), torch.cat(near)
    nearest = close.new_full((total + 1,), -torch.inf).scatter_reduce_(0, label, close, "amax")
    label, places = by_first_member(label, total, close >= nearest[label] - CLOSE)
    return Mix.means(label, total)(values.float().flatten(0, 1)), places, label


def assert_equal(units: Tensor, lengths: list[int], total: int, rounds: int, coarse: int = 8, dtype=torch.float32):
    frames, cells, _ = units.shape
    ends = torch.tensor(lengths).cumsum(0)
    clips = Clips(ends - torch.tensor(lengths), torch.tensor(lengths), frames, max(lengths))
    values = torch.randn(frames, cells, 5, generator=torch.Generator().manual_seed(1)).to(dtype)
    expected, places, targets = by_torch(units, values, clips, total, rounds, coarse)
    layout = clip.Layout(clips.starts, clips.lengths, frames, cells, total, clips.longest)
    labels, near = kernels.quantise(units.flatten(0, 1), layout, rounds, coarse)
    found = groups.means(values.flatten(0, 1), labels, near, layout, CLOSE)
    assert torch.equal(found[1], places)
    assert torch.equal(found[2], targets)
    assert found[0].dtype == dtype
    torch.testing.assert_close(found[0], expected.to(dtype), atol=1e-6, rtol=1e-2 if dtype == torch.bfloat16 else 1e-6)


def test_clips_of_unequal_length():
    """The last is empty."""
    assert_equal(tokens(7, 7, 20, spread=1.0), [4, 2, 1, 0], 11, 3, coarse=17, dtype=torch.bfloat16)


def test_many_anchors():
    assert_equal(tokens(1, 39, 20, spread=1.0), [1], 18, 2)


@pytest.mark.parametrize("total", [1, 8])
def test_one_anchor_and_as_many_as_tokens(total):
    """With one anchor for two clips, one keeps nothing."""
    assert_equal(tokens(2, 4, 10), [1, 1], total, 2)


def test_copies():
    """Most anchors find no token that is nearest to them, and take one. Cosines are 0 and 1, without rounding."""
    units = torch.eye(3)[None, torch.arange(20) % 3]
    units[0, 4] = 0
    assert_equal(units, [1], 9, 2)
