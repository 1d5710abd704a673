"""Plain-loop reference versions of shared operations, written from their descriptions."""

import math

import torch


def density_peaks(points: torch.Tensor, count: int, neighbours: int) -> tuple[list[int], list[int]]:
    """Centres of one set (n, E) by descending score, and the centre of each point, in float64."""
    size = len(points)
    x = points.double()
    distance = [[float((x[i] - x[j]).square().sum()) / x.shape[1] for j in range(size)] for i in range(size)]
    sparsity = [sum(sorted(row)[:neighbours]) / min(neighbours, size) for row in distance]
    scores = []
    for i in range(size):
        denser = [j for j in range(size) if (sparsity[j], j) < (sparsity[i], i)]
        gap = min((distance[i][j] for j in denser), default=math.inf)
        scores.append(math.exp(-sparsity[i]) * math.sqrt(gap))
    centres = sorted(range(size), key=lambda i: (-scores[i], i))[:count]
    joined = [i if i in centres else min(sorted(centres), key=lambda c: distance[i][c]) for i in range(size)]
    return centres, joined


def largest_remainder(total: int, sizes: list[int], least: list[int]) -> list[int]:
    """Shares of the total proportional to sizes, at least ``least`` each, the largest sets first."""
    shares, left = [0] * len(sizes), total
    for i in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        shares[i] = min(least[i], sizes[i], left)
        left -= shares[i]
    rooms = [size - share for size, share in zip(sizes, shares, strict=True)]
    exact = [left * room / max(1, sum(rooms)) for room in rooms]
    fractions = [(left * room) % max(1, sum(rooms)) for room in rooms]
    shares = [share + math.floor(part) for share, part in zip(shares, exact, strict=True)]
    rest = total - sum(shares)
    for i in sorted(range(len(sizes)), key=lambda i: (-fractions[i], i))[:rest]:
        shares[i] += 1
    return shares


def proportional(total: int, weights: list[float], bounds: list[int]) -> list[int]:
    """Shares in proportion to weights, by largest remainder; what is beyond a bound is shared anew."""
    full: set[int] = set()
    while True:
        left = total - sum(bounds[i] for i in full)
        free = sum(weight for i, weight in enumerate(weights) if i not in full)
        wanted = [bounds[i] if i in full else left * weight / free for i, weight in enumerate(weights)]
        over = {i for i, value in enumerate(wanted) if value > bounds[i]}
        if not over:
            break
        full |= over
    sure = [math.floor(value) for value in wanted]
    extra = sorted(range(len(wanted)), key=lambda i: sure[i] - wanted[i])[: total - sum(sure)]
    return [value + (i in extra) for i, value in enumerate(sure)]
