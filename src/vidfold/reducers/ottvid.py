"""OTT-Vid: representatives of every frame, merged along time where transport finds it cheap."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.checks import check_count, check_positive, check_ratio, check_weight, setting
from vidfold.linear import Mix, sum_rows
from vidfold.ops import cover as coverage
from vidfold.ops.components import roots
from vidfold.ops.ranks import by_first_member, descending_rank, gather_rows, inverse
from vidfold.ops.shares import on_host
from vidfold.reducers.base import PublishedReducer, given
from vidfold.tokens import Grid, Reduction, VideoTokens
from vidfold.transport import grid_distance, grid_positions, sinkhorn

_ROUNDS = 16


@dataclass(frozen=True)
class OTTVid(PublishedReducer):
    """Optimal transport for temporal token compression (OTT-Vid).

    Space: of each frame, Ks = N * retention ** (1 - temporal_share) tokens that cover the attended content best
    (facility location; serial in the Ks choices, batched over frames). Time: between neighbouring frames transport
    moves tokens, with more mass where others can replace them, at a cost of feature and grid distance; cheap pairs
    of frames get more of the merges that remain. In a pair, the later tokens with the largest plan entries join
    their earlier partners, over chains of any length; a match that costs more than ``cost_threshold`` drops the
    later token with all tokens that joined it. A merged token is the plain mean and stands where the earliest
    stood. Tokens that are neither chosen nor merged are dropped. One frame has no temporal stage and meets the
    budget by the spatial one; with a budget below one token a frame some frames keep nothing.

    `VideoTokens.deep` is the saliency; the authors read the last used vision layer (``deep_layer=-1``).

    Attributes:
        temporal_share: gamma, how much of the reduction is made over time, in [0, 1].
        mass_temperature: of the softmax from a token's contribution to its mass.
        budget_temperature: of the softmax from a pair's transport cost to its share of the merges.
        cost_threshold: a match of a higher cost is dropped instead of merged.
        epsilon: entropic regularisation (0.01 in the authors' scripts, 0.1 in their code).
        iterations: of the solver at most, 200 in the scripts, 50 in the code; it stops when converged.
        original: the authors' program on the LLaVA family: its rounding of the budget, at least one token of every
            frame, masses from attention that is known at the chosen positions only, and exactly ``iterations`` plain
            iterations.
        position_grid: grid on which cells are placed for the distance; None: the video's own. The authors' program
            takes (13, 13) for every video.
    """

    temporal_share: float = setting(0.3, check_ratio, zero=True)
    mass_temperature: float = setting(0.3, check_positive)
    budget_temperature: float = setting(0.3, check_positive)
    cost_threshold: float = setting(0.3, check_weight)
    epsilon: float = setting(0.01, check_positive)
    iterations: int = setting(200, check_count)
    position_grid: Grid | None = None

    name = "ott-vid"
    published = "OTT-Vid (authors' implementation)"
    idea = "covers each frame's attended content, then merges along time where transport is cheap"
    needs = frozenset({"deep"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.position_grid is not None and min(self.position_grid) < 1:
            raise ValueError(f"position_grid must have sides of at least 1, got {self.position_grid!r}")

    def original_count(self, frames: int, cells: int) -> int:
        """The tokens chosen of all frames without those that are merged."""
        chosen, merges, cap = self.plan(frames, cells)
        return frames * chosen - min(merges, (frames - 1) * cap)

    def plan(self, frames: int, cells: int) -> tuple[int, int, int]:
        """Tokens Ks chosen of each frame, merges to make over time, and the most that one pair of frames may make."""
        share = self.retention ** (1 - self.temporal_share)
        chosen = min(cells, max(1, round(cells * share)))
        if self.original:
            return chosen, frames * chosen - round(frames * chosen * self.retention / share), chosen - 1
        total = self.count(frames, cells)
        chosen = total if frames == 1 else max(-(-total // frames), min(chosen, total))
        merges = frames * chosen - total
        return chosen, merges, chosen - (merges <= (frames - 1) * (chosen - 1))

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        """K merged tokens in reading order."""
        frames, cells, device = tokens.frames, tokens.cells, tokens.features.device
        chosen, merges, cap = self.plan(frames, cells)
        unit = functional.normalize(tokens.pooled().float(), dim=-1)
        saliency = given(tokens, "deep")
        attended = saliency.sum(1, keepdim=True)
        saliency = torch.where(attended > 0, saliency / attended, 1 / cells)
        similarity = unit @ unit.transpose(1, 2)
        places = torch.arange(cells, device=device).expand(frames, cells)
        if chosen < cells:
            everyone = torch.ones_like(saliency, dtype=torch.bool)
            places, _ = coverage.facility(1 - similarity.clamp_min(0), saliency, everyone, chosen)
            places = places.sort(dim=1).values

        own = torch.arange(frames * chosen, device=device).view(frames, chosen)
        parents, dropped = own, torch.zeros_like(own, dtype=torch.bool)
        if frames > 1 and merges > 0:
            mass = self._mass(similarity, saliency, places)
            cost = self._cost(unit, places, self.position_grid or tokens.language_grid)
            partner, joins, too_dear = self._match(cost, mass, merges, cap)
            parents = own.clone()
            parents[1:] = torch.where(joins & ~too_dear, own[:-1].gather(1, partner), own[1:])
            dropped[1:] = joins & too_dear
        root = roots(parents.flatten(), frames - 1)

        groups, total = frames * chosen, self.count(frames, cells)
        labels = torch.full((frames * cells,), groups, device=device)
        flat = (places + cells * torch.arange(frames, device=device)[:, None]).flatten()
        labels[flat] = torch.where(dropped.flatten()[root], groups, root)
        labels, first = by_first_member(labels, groups)
        mix = Mix.means(labels.clamp_max(total), total)
        return mix.reduction(tokens, tokens.pooled().float(), first[:total], weights=weights)

    def _mass(self, similarity: Tensor, saliency: Tensor, places: Tensor) -> Tensor:
        """Mass (F, Ks) of the chosen tokens: large where a token alone covers little of the frame."""
        if self.original:
            known = saliency.gather(1, places)
            saliency = known.mean(1, keepdim=True).expand_as(saliency).scatter(1, places, known)
        covered = similarity.gather(2, places[:, None, :].expand(-1, similarity.shape[1], -1))
        best, closest = covered.max(2)
        second = covered.scatter(2, closest[:, :, None], -torch.inf).amax(2)
        alone = saliency * (best - torch.where(second.isinf(), 0.0, second))
        owner = closest + places.shape[1] * torch.arange(len(places), device=places.device)[:, None]
        contribution = sum_rows(alone.flatten()[:, None], owner.flatten(), places.numel()).view(places.shape)
        share = contribution / contribution.amax(1, keepdim=True).clamp_min(torch.finfo(alone.dtype).tiny)
        return (-share / self.mass_temperature).softmax(1)

    def _cost(self, unit: Tensor, places: Tensor, grid: Grid) -> Tensor:
        """Cost (F-1, Ks, Ks) from each earlier token to each later one; place counts most between equal frames."""
        chosen = gather_rows(unit, places)
        cosine = chosen[:-1] @ chosen[1:].transpose(1, 2)
        stillness = (unit[:-1] * unit[1:]).sum(2).mean(1)
        feature_weight = (0.5 + 0.5 * (1 - stillness).clamp(0, 1))[:, None, None]
        positions = grid_positions(places, grid)
        distance = grid_distance(positions[:-1], positions[1:]) / 2**0.5
        return feature_weight * (1 - cosine.clamp_min(0)) + (1 - feature_weight) * distance

    def _match(self, cost: Tensor, mass: Tensor, merges: int, cap: int) -> tuple[Tensor, Tensor, Tensor]:
        """For each later token (F-1, Ks): its earlier partner, whether it joins it, and whether that costs too much."""
        # Rows are later tokens, which the solver scales first, as the original does.
        dear = cost.transpose(1, 2)
        plan = sinkhorn(
            dear,
            mass[1:],
            mass[:-1],
            epsilon=self.epsilon,
            span=2.0,
            iterations=self.iterations,
            tolerance=0.0 if self.original else 1e-4,
            relaxation=1.0 if self.original else None,
        ).plan
        budget = merge_budgets((plan * dear).sum((1, 2)), merges, cap, self.budget_temperature)
        strongest, partner = plan.max(2)
        joins = descending_rank(strongest) < budget[:, None]
        return partner, joins, dear.gather(2, partner[:, :, None])[:, :, 0] > self.cost_threshold


def merge_budgets(cost: Tensor, merges: int, cap: int, temperature: float) -> Tensor:
    """Share merges among pairs of frames, (P,) int64, in proportion to softmax(-cost / temperature).

    What a pair cannot take, beyond ``cap``, goes to the others in the same proportion, round by round, until all is
    placed. Of equal remainders the first pair is served first. Every round but the last fills a pair, so there are at
    most merges / cap + 1 of them; random trials needed nine at most. The merges that 16 rounds have not placed go to
    the cheapest pairs that have room.

    Args:
        cost: (P,) float32.
        merges: to be shared; merges beyond P * cap are not made.
        cap: the most a pair takes.
        temperature: of the softmax.
    """
    total = min(merges, len(cost) * cap)
    budget, left = torch.zeros_like(cost, dtype=torch.int64), torch.tensor(total, device=cost.device)
    for _ in range(min(_ROUNDS, total // max(cap, 1) + 1)):
        open_ = budget < cap
        share = (-cost / temperature).masked_fill(~open_, -torch.inf).softmax(0).nan_to_num(0) * left
        whole = share.floor().long()
        fraction = (share - whole).masked_fill(~open_, -torch.inf)
        asked = budget + whole + (descending_rank(fraction) < left - whole.sum())
        budget = asked.clamp_max(cap)
        left = (asked - budget).sum()
        if on_host(cost) and not bool(left):
            break
    order = cost.argsort(stable=True)
    room = (cap - budget)[order]
    rest = (left - (room.cumsum(0) - room)).clamp_min(0)
    return budget + torch.minimum(room, rest)[inverse(order)]
