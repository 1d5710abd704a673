import pytest
import torch
from torch.nn.functional import normalize

from vidfold import VideoTokens
from vidfold.bench.real.cache import CROP, Encoded
from vidfold.bench.real.measures import Subject, found, joined, named, represented, shots
from vidfold.reducers import Identity, select

FRAMES, SIDE = 4, 6
CELLS = SIDE * SIDE


def tokens(seed=0):
    """Tokens that all differ, and smoothly change over the frame."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randn(FRAMES, 2, 2, 64, generator=generator)
    maps = torch.nn.functional.interpolate(
        corners.permute(0, 3, 1, 2), (SIDE, SIDE), mode="bilinear", align_corners=True
    )
    attention = torch.rand(FRAMES, CELLS, generator=generator)
    return VideoTokens(maps.flatten(2).mT, (SIDE, SIDE), shallow=attention, deep=attention, keys=maps.flatten(2).mT)


def encoded(video):
    """Views that show what lies in the upper left part of frames 0 to 3."""
    part = round(CROP * SIDE)
    maps = video.features.view(FRAMES, SIDE, SIDE, -1)[:, :part, :part].permute(0, 3, 1, 2)
    views = torch.nn.functional.interpolate(maps, (SIDE, SIDE), mode="bilinear", align_corners=False)
    return Encoded(video, views.flatten(2).mT, torch.arange(FRAMES).float(), torch.zeros(FRAMES, 2))


def measured(measure, reduction, video):
    units = normalize(video.features.flatten(0, 1), dim=-1)
    return measure(reduction, (units @ normalize(reduction.tokens, dim=-1).T).clamp(-1, 1))


def frames(video, *chosen):
    index = torch.cat([torch.arange(CELLS) + frame * CELLS for frame in chosen])
    return select(video, index, weights=False)


def test_all_tokens_represent_everything():
    video = tokens()
    values = measured(represented(Subject(video)), Identity()(video), video)
    assert values["quantisation_error"] == pytest.approx(0, abs=1e-5)
    assert values["coverage"] == 1


def test_all_tokens_find_video_time_and_place():
    video = tokens()
    others = normalize(tokens(1).features.flatten(0, 1), dim=-1)
    values = measured(found(Subject(video, video=encoded(video)), others), Identity()(video), video)
    assert values == {"find_video": 1, "find_time": 1, "find_place": 1}


def test_a_frame_that_is_gone_is_not_found():
    video = tokens()
    others = normalize(tokens(1).features.flatten(0, 1), dim=-1)
    values = measured(found(Subject(video, video=encoded(video)), others), frames(video, 0, 1, 2), video)
    assert values["find_time"] == 0.75


def test_recall_counts_every_shot_alike():
    video = tokens()
    values = measured(shots(Subject(video, (1,), encoded(video))), frames(video, 1, 2, 3), video)
    assert values == {"shot_recall": 0.5, "shot_worst": 0}
    assert measured(shots(Subject(video, (1,))), Identity()(video), video) == {
        "joined_shot_recall": 1,
        "joined_shot_worst": 1,
    }


def test_without_cuts_views_or_names_nothing_is_told():
    video = tokens()
    for measure in (shots(Subject(video)), found(Subject(video), video.features[0])):
        assert measured(measure, Identity()(video), video) == {}


def test_joined_shots_have_known_cuts():
    subject = joined([tokens(seed) for seed in range(3)], (1, 2, 3))
    assert subject.cuts == (1, 3)
    assert subject.tokens.frames == 6
    assert torch.equal(subject.tokens.features[1:3], tokens(1).features[:2])


class Ahead:
    """Names tokens by the largest of their first eight channels."""

    def vectors(self, tokens):
        return normalize(tokens[:, :8], dim=-1)

    def best(self, vectors):
        return vectors.argmax(-1)


def test_names_are_compared_with_those_before():
    video = tokens()
    every = measured(named(Subject(video), Ahead()), Identity()(video), video)
    assert every == {"name_patch": 1, "name_frame": 1, "name_video": 1}
    # Frame 3 is read from frame 2, its nearest in time.
    one = measured(named(Subject(video), Ahead()), frames(video, 0, 1, 2), video)
    best = Ahead().best(video.features[..., :8].div(video.features[..., :8].norm(dim=-1, keepdim=True)).mean(1))
    assert one["name_frame"] == (3 + float(best[2] == best[3])) / 4
