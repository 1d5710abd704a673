"""Which frames of a video to take, by what they show: a look at many of them, then a choice of few."""

import itertools
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vidfold.video.index import Index
from vidfold.video.upright import Pixels

Numbers = NDArray[np.float64]
Positions = NDArray[np.int64]

SIDE = 8
"""Cells along each side of a thumbnail."""
LOOKS = 8
"""Frames looked at for each one that is chosen."""
MOST_LOOKS = 1024
"""Frames looked at, unless more are chosen."""
BLACK = 0.04
"""Mean brightness, in [0, 1], below which a frame counts as black."""
CUT, PEAK = 0.08, 3.0
"""Least mean difference, in [0, 1], between the frames on both sides of a cut, and how many times as large it is as
the differences near it, but for one."""


class Chooser(Protocol):
    """Chooses frames by a description of each of many."""

    def look(self, picture: Pixels) -> Numbers:
        """A description of a frame (H, W, 3) uint8 RGB: (E,) float64."""

    def choose(self, looks: Numbers, seconds: Numbers, frames: int) -> Positions:
        """Which of n described frames to take.

        Args:
            looks: (n, E), their descriptions in the order of time.
            seconds: (n,), how long each stands for.
            frames: F, how many to take, at most n.

        Returns:
            (F,) int64, ascending and all different, from 0 to n - 1.
        """


def looked_at(index: Index, frames: int) -> Positions:
    """Positions of the frames to look at, (n,) int64, ascending: evenly spaced, and keyframes where one is near.

    A keyframe is decoded alone, so hours of video are looked at in seconds.
    """
    count = min(index.total, max(LOOKS * frames, 64), max(MOST_LOOKS, frames))
    even: Positions = np.linspace(0, index.total - 1, count).astype(np.int64)
    if not len(index.keys) or count == index.total:
        return even
    keys = np.unique(np.searchsorted(index.ticks, index.keys[:, 0]).clip(0, index.total - 1))
    after = np.searchsorted(keys, even).clip(1, max(1, len(keys) - 1))
    pair = keys[np.stack([after - 1, after]).clip(0, len(keys) - 1)]
    nearest = np.where(np.abs(pair[0] - even) <= np.abs(pair[1] - even), pair[0], pair[1])
    near = 2 * np.abs(nearest - even) <= index.total // count
    found = np.unique(np.where(near, nearest, even))
    return found if len(found) >= frames else even


def thumbnail(picture: Pixels) -> Numbers:
    """Mean colours of 8 x 8 cells of a frame (H, W, 3) uint8, in [0, 1]: (192,) float64."""
    height, width = picture.shape[:2]
    small = picture[:: max(1, height // 64), :: max(1, width // 64)]
    for axis in (0, 1):
        starts = np.arange(SIDE) * small.shape[axis] // SIDE
        sizes = np.diff([*starts, small.shape[axis]]).clip(1)
        small = np.add.reduceat(small, starts, axis=axis, dtype=np.float64) / np.expand_dims(sizes, (1 - axis, 2))
    return (small / 255).ravel()


class _Thumbnails:
    """Describes frames by thumbnails."""

    def look(self, picture: Pixels) -> Numbers:
        """See `thumbnail`."""
        return thumbnail(picture)


@dataclass(frozen=True)
class Scenes(_Thumbnails):
    """Every shot its share of the frames by its length, evenly spaced in it and away from cuts and black.

    Fades are not seen as cuts.
    """

    def choose(self, looks: Numbers, seconds: Numbers, frames: int) -> Positions:
        """See `Chooser`. If there are more shots than frames, the longest shots get one each."""
        edges = np.array([0, *cuts(looks), len(looks)])
        shares = _shares(np.add.reduceat(seconds, edges[:-1]), np.diff(edges), frames)
        shots = [np.arange(first, last) for first, last in itertools.pairwise(edges)]
        parts = [np.array_split(shot, share) for shot, share in zip(shots, shares, strict=True) if share]
        usable = [_bright(part, looks) for part in itertools.chain.from_iterable(parts)]
        return np.array([part[len(part) // 2] for part in usable], np.int64)


@dataclass(frozen=True)
class Novel(_Thumbnails):
    """Many frames where the video changes, few where it stands still.

    The video is cut into as many runs as frames are wanted, so that the frames of each are most alike: the sum of
    their squared distances to the mean of the run is least (Fisher 1958). Of each run the frame nearest to that mean is
    taken. So what is shown is covered, and outliers are not sought, unlike by farthest points.

    Attributes:
        even: weight of the distance in time, which spreads frames evenly where nothing changes.
    """

    even: float = 0.1

    def choose(self, looks: Numbers, seconds: Numbers, frames: int) -> Positions:
        """See `Chooser`."""
        return covering(looks, seconds, frames, self.even)


def covering(
    looks: Numbers, weights: Numbers, frames: int, even: float, worth: Numbers | None = None, usable: bool = True
) -> Positions:
    """One frame of each of F runs into which a video is cut so that the frames of each run are most alike.

    Args:
        looks: (n, E).
        weights: (n,), what each counts.
        frames: F.
        even: weight of the distance in time; the whole video is 1 long.
        worth: (n,), the best frame of a run is taken; None takes the one nearest to the mean of the run.
        usable: whether black frames are avoided, where looks are thumbnails.
    """
    times = np.cumsum(weights) / weights.sum()
    points = np.column_stack([looks - looks.mean(0), even * times])
    chosen = []
    for first, last in itertools.pairwise(cheapest_runs(points, weights, frames)):
        run = np.arange(first, last)
        run = _bright(run, looks) if usable else run
        mean = np.average(points[run], axis=0, weights=weights[run])
        better = -((points[run] - mean) ** 2).sum(1) if worth is None else worth[run]
        chosen.append(run[better.argmax()])
    return np.array(chosen, np.int64)


def cuts(looks: Numbers) -> Positions:
    """The first frame (m,) after each cut between n frames with thumbnails (n, E).

    Neighbours differ there by more than `CUT`, and `PEAK` times as much as the second largest of the two steps before
    and the two after it: another cut may be near, and a fast movement is not a cut.
    """
    steps = np.abs(np.diff(looks, axis=0)).mean(1)
    if not len(steps):
        return np.empty(0, np.int64)
    near = np.sort(np.lib.stride_tricks.sliding_window_view(np.pad(steps, 2), 5)[:, [0, 1, 3, 4]], axis=1)
    return np.flatnonzero(steps > np.maximum(CUT, PEAK * near[:, 2])) + 1


def cheapest_runs(points: Numbers, weights: Numbers, runs: int) -> Positions:
    """Edges (runs + 1,) of the runs of n points with the least weighted sum of squared distances to their means.

    Exact, by dynamic programming in O(runs * n^2).
    """
    count = len(points)
    mass = np.concatenate([[0], weights.cumsum()])
    sums = np.concatenate([np.zeros((1, points.shape[1])), (weights[:, None] * points).cumsum(0)])
    squares = np.concatenate([[0], (weights * (points**2).sum(1)).cumsum()])
    product = sums @ sums.T
    length = product.diagonal()
    between = np.maximum(mass[None] - mass[:, None], 1e-300)
    # cost[i, j]: of the points i to j - 1 as one run.
    cost = (squares[None] - squares[:, None]) - (length[None] + length[:, None] - 2 * product) / between
    cost[np.tril_indices(count + 1)] = np.inf
    best, from_where = cost[0], []
    for _ in range(runs - 1):
        total = best[:, None] + cost
        from_where.append(total.argmin(0))
        best = total.min(0)
    edges = [count]
    for back in reversed(from_where):
        edges.append(int(back[edges[-1]]))
    return np.array([0, *edges[::-1]], np.int64)


def _shares(lengths: Numbers, sizes: Positions, frames: int) -> Positions:
    """Frames shared over shots by their lengths (Sainte-Lague); every shot gets one if there are enough."""
    turns = np.arange(frames)
    claims = lengths[:, None] / (turns + 0.5)
    claims[:, 0] += lengths.sum() * frames * 4
    claims[turns >= sizes[:, None]] = -1
    order = np.argsort(-claims, axis=None, kind="stable")[:frames]
    return np.bincount(order // frames, minlength=len(lengths))


def _bright(run: Positions, looks: Numbers) -> Positions:
    """The frames of a run that are not black, or all if there are no others."""
    seen = run[looks[run].mean(1) > BLACK]
    return seen if len(seen) else run


CHOOSERS: dict[str, Chooser] = {"scenes": Scenes(), "novel": Novel()}
"""Choosers by name."""
WAYS = ("even", *CHOOSERS)
"""Ways to choose frames."""
