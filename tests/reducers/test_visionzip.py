"""VisionZip: the video port number for number, and means in place of sums."""

import pytest
import torch
from torch.nn.functional import cosine_similarity

from tests.peers import peer_cases, peer_video
from vidfold.reducers.visionzip import VisionZip

CASES = peer_cases("visionzip")


@pytest.mark.parametrize("case", CASES)
def test_equals_golden(case):
    frames, params, golden = CASES[case]
    method = VisionZip(original=True, tokens_per_frame=params["tokens_per_frame"])
    video = peer_video(frames, newline=params.get("newline_value"))
    reduction = method(video)
    torch.testing.assert_close(reduction.tokens, golden["tokens"], atol=1e-5, rtol=1e-5)
    assert len(reduction) - reduction.newlines == method.count(frames, video.cells)
    if "src_pos" in golden:
        assert torch.equal(reduction.cells.view(frames, -1), golden["src_pos"].long())
    else:
        assert torch.equal(reduction.cells >= video.cells, golden["is_newline"])


def _by_hand(method, video):
    frames, cells = video.frames, video.cells
    total = method.count(frames, cells)
    tokens, index = [], []
    for frame in range(frames):
        budget = total * (frame + 1) // frames - total * frame // frames
        dominant = sorted(video.deep[frame].argsort(descending=True)[: int(budget * method.dominant)].tolist())
        rest = [cell for cell in range(cells) if cell not in dominant]
        contextual = budget - len(dominant)
        step = len(rest) // contextual if contextual else 1
        groups = {cell: [cell] for cell in rest[::step][:contextual]}
        for cell in rest:
            if groups and cell not in groups:
                alike = cosine_similarity(video.keys[frame, list(groups)], video.keys[frame, cell][None], dim=-1)
                groups[list(groups)[int(alike.argmax())]].append(cell)
        groups |= {cell: [cell] for cell in dominant}
        for cell in sorted(groups):
            tokens.append(video.features[frame, groups[cell]].mean(0))
            index.append(frame * cells + cell)
    return torch.stack(tokens), index


@pytest.mark.parametrize(
    "settings",
    [{}, {"retention": 0.003}, {"retention": 0.25}, {"retention": 0.8}, {"dominant": 0.0}, {"dominant": 1.0}],
)
def test_equals_plain_loops(settings):
    video, method = peer_video(9), VisionZip(**settings)
    reduction = method(video)
    tokens, index = _by_hand(method, video)
    assert (reduction.frames * video.cells + reduction.cells).tolist() == index
    torch.testing.assert_close(reduction.tokens, tokens)


def test_sums_have_no_weights():
    with pytest.raises(ValueError, match="adds tokens up"):
        VisionZip(original=True)(peer_video(9), weights=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dominant": -0.1}, r"dominant must be in \[0, 1\], got -0.1"),
        ({"tokens_per_frame": 0}, "tokens_per_frame must be a whole number of at least 1, got 0"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        VisionZip(**settings)
