"""What holds for all methods on ragged sets: no wait for the device, and padding that changes nothing."""

import dataclasses

import pytest
import torch

from tests.conftest import make_video
from tests.peers import peer_video
from vidfold import Pooling, VideoTokens, clips
from vidfold.ops import clusters
from vidfold.reducers import fastvid, fastvid_budgets
from vidfold.reducers.dycoke import DyCoke
from vidfold.reducers.fastvid import FastVID
from vidfold.reducers.flashvid import FlashVID
from vidfold.reducers.holitom import HoliTom
from vidfold.reducers.prunevid import PruneVid
from vidfold.reducers.visionzip import VisionZip

METHODS = [VisionZip, DyCoke, PruneVid, HoliTom, FastVID, FlashVID]
ORIGINALS = {
    "visionzip": VisionZip(original=True, tokens_per_frame=5),
    "prunevid": PruneVid(original=True),
    "holitom": HoliTom(original=True),
    "fastvid-ov": FastVID(original="ov"),
    "fastvid-lv": FastVID(original="lv"),
    "fastvid-qwen": FastVID(original="qwen"),
    "flashvid": FlashVID(original=True),
    "flashvid-adts": FlashVID(0.9, original=True, selection="attn_div"),
}


def full_video(**settings) -> VideoTokens:
    """A small video with everything that a tower can tell."""
    video = make_video(**settings)
    return dataclasses.replace(video, keys=video.features.float()[..., :8].contiguous(), head_attention=video.shallow)


@pytest.mark.parametrize("method", METHODS)
def test_no_host_sync(method):
    """Meta tensors hold no values: whatever asks for one, as a host sync does, fails."""
    bare = object.__new__(VideoTokens)
    for name, value in vars(full_video(frames=32, grid=(27, 27))).items():
        object.__setattr__(bare, name, value.to("meta") if isinstance(value, torch.Tensor) else value)
    assert method(retention=0.1)(bare).tokens.shape == (627, 16)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("retention", [0.02, 0.1, 0.6])
def test_padding_is_ignored(method, retention, monkeypatch):
    """Where the host cannot look at sizes, batches are as wide as they could have to be."""
    video = peer_video(9)
    tight = method(retention)(video)
    for module in (clips, clusters, fastvid, fastvid_budgets):
        monkeypatch.setattr(module, "host_bound", lambda values, bound: bound)
    padded = method(retention)(video)
    assert torch.equal(padded.cells, tight.cells)
    assert torch.equal(padded.frames, tight.frames)
    torch.testing.assert_close(padded.tokens, tight.tokens, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", ORIGINALS.values(), ids=ORIGINALS)
@pytest.mark.parametrize(
    "video",
    [
        {"frames": 1},
        {"frames": 7, "grid": (7, 5)},
        {"frames": 2, "grid": (2, 2), "pooling": Pooling.AVERAGE},
        {"frames": 12, "dtype": torch.bfloat16},
    ],
    ids=["one frame", "odd", "one cell", "bf16"],
)
def test_originals_run_on_any_video(method, video):
    tokens = full_video(**video)
    before = tokens.features.clone()
    reduction = method(tokens)
    assert torch.equal(tokens.features, before)
    assert reduction.tokens.dtype == tokens.features.dtype
    assert torch.isfinite(reduction.tokens).all()
    assert ((reduction.frames >= 0) & (reduction.frames < tokens.frames)).all()
    assert ((reduction.cells >= 0) & (reduction.cells < tokens.cells)).all()
    assert torch.equal(method(tokens).tokens, reduction.tokens)
