import pytest

from vidfold.drops import Drop, check_drops, kept_by_layer


def test_shares_are_relative_to_the_given_tokens():
    drops = (Drop(1, 0.5, 1), Drop(3, 0.25, 3))
    assert kept_by_layer(drops, 5, 100) == (100, 50, 50, 25, 25)
    assert kept_by_layer(drops, 5, 18) == (18, 9, 9, 5, 5)
    assert kept_by_layer(drops, 4, 1) == (1, 1, 1, 1)


@pytest.mark.parametrize("scorer", [0, 3, -1])
def test_ranking_layer_reads_the_same_tokens(scorer):
    with pytest.raises(ValueError, match=f"layer 2 must be ranked by a layer from 1 to 2, got {scorer}"):
        check_drops([Drop(1, 0.5, 0), Drop(2, 0.3, scorer)], 4)
    check_drops([Drop(1, 0.5, 0), Drop(2, 0.3, 1), Drop(3, 0.1, 3)], 4)


@pytest.mark.parametrize("layers", [(0,), (4,), (1, 1), (3, 2), (2, 9)])
def test_unknown_layers_raise(layers):
    with pytest.raises(ValueError, match=rf"1 to 3 .* 4 layers, got {', '.join(map(str, layers))}"):
        check_drops([Drop(layer, 0.5, layer) for layer in layers], 4)
