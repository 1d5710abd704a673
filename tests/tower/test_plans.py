"""What tower methods decide from pixels."""

import pytest
import torch

from vidfold import tower
from vidfold.tower import Plan, Repeats, Still
from vidfold.tower.plan import repeated
from vidfold.tower.still import change

FRAMES, UNITS, VALUES = 6, 9, 12


def noise(frames=FRAMES, seed=0):
    return torch.rand(frames, UNITS, VALUES, generator=torch.Generator().manual_seed(seed))


def standing(frames=FRAMES):
    """The same picture again and again, but not to the last bit."""
    return noise(1).repeat(frames, 1, 1) + 1e-4 * noise(frames, 1)


def test_a_unit_that_is_not_computed_is_the_latest_that_is():
    computed = torch.tensor([[1, 1, 1], [0, 1, 0], [0, 0, 1]], dtype=torch.bool)
    plan = Plan.of(computed)
    assert plan.source.tolist() == [[0, 0, 0], [0, 1, 0], [0, 1, 2]]
    assert torch.equal(plan.computed, computed)
    assert plan.computed_units == 5
    assert plan.share == 5 / 9


def test_frames_repeat_only_where_every_value_is_equal():
    pixels = noise(3)[[0, 1, 0, 2, 1, 0]]
    assert repeated(pixels).tolist() == [0, 1, 0, 3, 1, 0]
    # As bright on the whole, but another picture.
    assert repeated(torch.stack([pixels[0], pixels[0].flip(0)])).tolist() == [0, 1]
    assert repeated(torch.zeros(4, UNITS, VALUES)).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("method", [Repeats(), Still(), Still(threshold=0)], ids=str)
def test_repeated_frames_are_computed_once(method):
    plan = method.plan(noise(2)[[0, 1, 0, 1, 1, 0]])  # a strobe
    assert plan.source[:, 0].tolist() == [0, 1, 0, 1, 1, 0]
    assert plan.computed_units == 2 * UNITS


@pytest.mark.parametrize("method", [Repeats(), Still(), Still(threshold=0), Still(check=2)], ids=str)
@pytest.mark.parametrize("frames", [1, 2, 5])
def test_noise_is_computed_whole(method, frames):
    assert method.plan(noise(frames)).share == 1


@pytest.mark.parametrize("method", [Repeats(), Still(threshold=0)], ids=str)
def test_without_a_threshold_nothing_but_whole_frames_is_skipped(method):
    pixels = noise(2)[[0, 0, 1]]
    pixels[2, 1:] = pixels[0, 1:]
    assert method.plan(pixels).computed_units == 2 * UNITS


def test_what_stands_still_is_computed_once():
    pixels = standing()
    pixels[3:, 4] = 0
    plan = Still().plan(pixels)
    assert plan.source[:, 0].tolist() == [0] * FRAMES
    assert plan.source[:, 4].tolist() == [0, 0, 0, 3, 3, 3]
    assert plan.computed_units == UNITS + 1


def test_a_small_thing_that_moves_is_noticed_and_noise_is_not():
    still = torch.full((2, 1, 196), 0.5)
    noisy = still + 0.01 * torch.randn(2, 1, 196, generator=torch.Generator().manual_seed(0))
    small = still.clone()
    small[1, 0, :4] = 1.0
    assert (small[1] - small[0]).abs().mean() < 0.02
    assert change(noisy[1], noisy[0]) < Still().threshold < change(small[1], small[0])


def test_slow_changes_add_up():
    fade = torch.linspace(0.2, 0.5, 31)[:, None, None].expand(31, UNITS, VALUES)
    plan = Still(threshold=0.05).plan(fade)
    stands = fade.gather(0, plan.source[:, :, None].expand(fade.shape))
    assert change(fade, stands).max() <= 0.05
    assert plan.computed_units < 8 * UNITS


def test_a_cut_computes_the_whole_frame():
    pixels = torch.cat([standing(3), standing(3).roll(1, 1)])
    pixels[3:, 0] = pixels[2, 0]
    assert Still().plan(pixels).source[:, 0].tolist() == [0, 0, 0, 3, 3, 3]
    assert Still(cut=1.0).plan(pixels).source[3, 0] == 0


@pytest.mark.parametrize(
    "pixels", [noise(), standing(), noise(2)[[0, 1, 0, 1, 1, 0]]], ids=["noise", "still", "strobe"]
)
@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 1.0])
def test_a_share_is_met_exactly(pixels, share):
    method = Still(share=share)
    distinct = int((repeated(pixels) == torch.arange(FRAMES)).sum())
    plan = method.plan(pixels)
    assert plan.computed_units == min(method.count(FRAMES, UNITS), distinct * UNITS)
    assert plan.computed[0].all()


def test_a_share_goes_to_what_changes_most():
    pixels = standing()
    pixels[3:, 4] = 0
    assert Still(share=(UNITS + 1) / (FRAMES * UNITS)).plan(pixels).computed[3, 4]


def test_checked_frames_are_those_that_are_not_computed_whole():
    pixels = torch.cat([standing(4), noise(4, 5)])
    plan = Still(check=2).plan(pixels)
    assert plan.checked.tolist() == [1, 3]
    assert plan.computed_units == (1 + 4 + 2) * UNITS
    assert Still().plan(pixels).checked.numel() == 0
    assert Still().bound is None
    assert Still(check=2, drift=0.1).bound == 0.1


def test_half_precision_and_order_in_memory_change_nothing():
    pixels = standing()
    pixels[3:, 4] = 0
    wanted = Still().plan(pixels).source
    assert torch.equal(Still().plan(pixels.bfloat16()).source, wanted)
    assert torch.equal(Still().plan(pixels.transpose(0, 1).contiguous().transpose(0, 1)).source, wanted)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": -0.1}, "threshold must be a finite number of at least 0, got -0.1"),
        ({"threshold": float("nan")}, "threshold must be"),
        ({"share": 0}, "share must be in"),
        ({"cut": 2}, "cut must be in"),
        ({"check": 0}, "check must be a whole number of at least 1, got 0"),
        ({"drift": "much"}, "drift must be"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        Still(**settings)


def test_methods_by_name():
    assert tower.get("still", threshold=0.1) == Still(threshold=0.1)
    assert tower.get("repeats") == Repeats()
    with pytest.raises(ValueError, match="unknown tower method 'stil'; did you mean 'still'"):
        tower.get("stil")
    with pytest.raises(ValueError, match="still has no field 'treshold'; it has: check, cut"):
        tower.get("still", treshold=1)


def test_the_count_is_known_with_a_share_alone():
    assert Still(share=0.5).count(4, 10) == 20
    assert Still(share=0.01).count(4, 10) == 10
    with pytest.raises(ValueError, match="share"):
        Still().count(4, 10)
