"""VidCom2: both published programs, and the exact budget against a plain loop."""

import pytest
import torch

from tests.conftest import make_video
from tests.peers import load_golden, peer_cases, peer_video
from vidfold.reducers.vidcom2 import VidCom2, frame_shares, typicality

CASES = peer_cases("vidcom2")


@pytest.mark.parametrize("case", CASES)
def test_equals_golden(case):
    frames, params, golden = CASES[case]
    retention = params["r"] if params["variant"] == "upstream" else 1 - params["q"]
    reduction = VidCom2(retention, original=True, variant=params["variant"])(peer_video(frames))
    assert torch.equal(reduction.frames * 196 + reduction.cells, golden["idx"].long())
    assert torch.equal(reduction.frames.bincount(minlength=frames), golden["frame_counts"].long())


@pytest.mark.parametrize("frames", [9, 16])
def test_scores_equal_golden(frames):
    golden = load_golden("peers/vidcom2")
    of_video, of_frame = typicality(peer_video(frames).features)
    torch.testing.assert_close(of_video, golden[f"f{frames}_v_score"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(of_frame, golden[f"f{frames}_f_score"], rtol=1e-5, atol=1e-5)
    scales = golden[f"f{frames}_up_r10_scales"]
    torch.testing.assert_close(frame_shares(of_video, 0.1), scales, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("retention", [0.05, 0.2, 0.6])
def test_equals_a_plain_loop(retention):
    video = make_video(frames=7)
    method = VidCom2(retention)
    total, cells = method.count(7, video.cells), video.cells
    of_video, of_frame = typicality(video.pooled())
    typical = (of_video + of_frame).flatten().tolist()
    kept = []
    for frame, share in enumerate(frame_shares(of_video, retention).tolist()):
        own = sorted(range(frame * cells, (frame + 1) * cells), key=typical.__getitem__)
        kept += own[: max(1, round(share * cells))]
    kept.sort(key=typical.__getitem__)
    others = sorted(set(range(7 * cells)) - set(kept), key=typical.__getitem__)
    reduction = method(video)
    assert (reduction.frames * cells + reduction.cells).tolist() == sorted((kept + others)[:total])


def test_counts():
    assert VidCom2(0.1, original=True, variant="vllm").count(16, 196) == 313
    assert VidCom2(1e-6, original=True, variant="vllm").count(16, 196) == 16
    with pytest.raises(ValueError, match="depends on the video's content"):
        VidCom2(original=True).count(16, 196)


def test_bad_settings():
    with pytest.raises(ValueError, match="variant must be 'upstream' or 'vllm', got 'sglang'"):
        VidCom2(variant="sglang")
