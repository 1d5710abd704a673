"""Spanning trees against a search through the graph."""

import pytest
import torch
from torch.nn import functional

from vidfold.ops.components import SpanningTree


def make_similarity(items: int = 3, nodes: int = 30, channels: int = 3) -> torch.Tensor:
    units = functional.normalize(
        torch.randn(items, nodes, channels, generator=torch.Generator().manual_seed(0)), dim=-1
    )
    similarity = units @ units.transpose(1, 2)
    return (similarity + similarity.transpose(1, 2)) / 2


def _components(adjacency: torch.Tensor) -> set[frozenset[int]]:
    left, found = set(range(len(adjacency))), set()
    while left:
        reached = frontier = {left.pop()}
        while frontier:
            frontier = {j for i in frontier for j in adjacency[i].nonzero()[:, 0].tolist()} - reached
            reached = reached | frontier
        left -= reached
        found.add(frozenset(reached))
    return found


def _sets(labels: torch.Tensor) -> set[frozenset[int]]:
    return {frozenset((labels == label).nonzero()[:, 0].tolist()) for label in labels.unique()}


@pytest.mark.parametrize("threshold", [-1.0, 0.3, 0.9, 0.97, 1.1])
def test_components_at_a_threshold(threshold):
    similarity = make_similarity()
    tree = SpanningTree.of(similarity)
    labels = tree.components(tree.links > threshold)
    assert labels.unique().numel() == sum(len(graph.unique()) for graph in labels.view(3, 30))
    for item in range(3):
        assert _sets(labels.view(3, 30)[item]) == _components(similarity[item] > threshold)


@pytest.mark.parametrize("links", [0, 1, 40, 87])
def test_components_of_a_given_number(links):
    tree = SpanningTree.of(make_similarity())
    joined = tree.strongest(links)
    assert joined.sum() == links
    assert len(tree.components(joined).unique()) == 90 - links
    if 0 < links < 87:
        assert tree.links[joined].min() >= tree.links[~joined].max()


def test_equal_similarities_and_long_chains():
    assert len(_sets(SpanningTree.of(torch.ones(1, 7, 7)).components(torch.ones(1, 7, dtype=torch.bool)))) == 1
    place = torch.arange(50.0)
    chain = -(place[:, None] - place).abs()[None]
    tree = SpanningTree.of(chain)
    assert (tree.components(tree.links >= -1) == 0).all()


def test_one_node():
    tree = SpanningTree.of(torch.ones(2, 1, 1))
    assert tree.components(tree.links > -1).tolist() == [0, 1]
