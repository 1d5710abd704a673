"""Packed attention against a plain loop."""

import pytest
import torch
from torch.nn import functional

from vidfold.models.partial.packing import Packing, flat_source

FRAMES, UNITS, HEADS, SIZE = 5, 11, 2, 4


def half_computed(frames=FRAMES, units=UNITS, seed=0):
    computed = torch.rand(frames, units, generator=torch.Generator().manual_seed(seed)) < 0.4
    computed[0] = True
    computed[2] = False
    return torch.where(computed, torch.arange(frames)[:, None], 0).cummax(0).values


def test_flat_source():
    source = torch.tensor([[0, 0], [0, 1], [0, 1]])
    assert flat_source(source, 0, 1).tolist() == [0, 1, 0, 3, 0, 3]
    assert flat_source(source, 0, 2).tolist() == [0, 1, 2, 3, 0, 1, 6, 7, 0, 1, 6, 7]
    # A frame of its own tokens has its own CLS; one without has that of the latest it shows.
    assert flat_source(source, 1, 1).tolist() == [0, 1, 2, 3, 1, 5, 3, 1, 5]


@pytest.mark.parametrize("lengths", [[UNITS + 1] * FRAMES, [5, 5, 2] * FRAMES, [12, 24, 5, 7, 12]], ids=str)
def test_packed_attention_equals_a_loop(lengths):
    source = flat_source(half_computed(), 1, 1)
    packing = Packing.of(source, torch.tensor(lengths))
    table = torch.randn(3, len(source), HEADS, SIZE, generator=torch.Generator().manual_seed(1))
    query, key, value = table[:, source]
    wanted = torch.cat(
        [
            functional.scaled_dot_product_attention(*(each.transpose(0, 1) for each in part)).transpose(0, 1)
            for part in zip(*(each.split(lengths) for each in (query, key, value)), strict=True)
        ]
    )
    computed = source == torch.arange(len(source))
    calls = []

    def attend(query, key, value):
        calls.append(query.shape)
        return functional.scaled_dot_product_attention(query, key, value).transpose(1, 2)

    packed = (each[packing.tokens] for each in table)
    found = packing.attend(attend, *packed)
    assert torch.equal(packing.tokens, computed.nonzero()[:, 0])
    assert torch.allclose(found, wanted[computed], atol=1e-6)
    assert torch.equal(packing.tokens[packing.copies], source)
    # Padding stays below an eighth of a sequence and one query.
    padded = sum(shape[0] * shape[2] for shape in calls)
    assert padded <= len(packing.tokens) + sum(length / 8 + 1 for length in lengths)
