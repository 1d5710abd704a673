"""What the layers of a tower attend with, without vLLM: modules as vLLM calls them."""

import torch
from torch import nn

from vidfold.models.attention.received import received
from vidfold.serving.attention import attended

FRAMES, TOKENS, HEADS, WIDTH = 3, 10, 4, 8


class Attention(nn.Module):
    """As vLLM's: queries, keys and values of all heads of a rank in one row."""

    head_size, scale = WIDTH, 0.3

    def forward(self, query, key, value):
        return value


def called(modules, heads, reduce=None, ranks=1):
    with attended(modules, ranks, reduce) as seen:
        for module in modules.values():
            module(*(each[:, :, heads].flatten(2) for each in QKV))
    return seen


QKV = torch.randn(3, FRAMES, TOKENS, HEADS, WIDTH, generator=torch.Generator().manual_seed(0))


def test_attention_received_and_keys_are_seen_and_no_hook_stays():
    modules = {"deep": Attention(), "keys": Attention()}
    seen = called(modules, slice(0, HEADS))
    query, key, _ = QKV
    assert torch.equal(seen["deep"], received(query.transpose(1, 2), key.transpose(1, 2), 0.3))
    assert torch.equal(seen["keys"], key.mean(2))
    assert not any(module._forward_pre_hooks for module in modules.values())


def test_means_of_heads_on_several_ranks_are_those_of_all_heads():
    whole = called({"deep": Attention(), "keys": Attention()}, slice(0, HEADS))
    halves = [slice(0, 2), slice(2, 4)]
    alone = [called({"deep": Attention(), "keys": Attention()}, heads) for heads in halves]
    for rank, heads in enumerate(halves):
        # A sum over ranks adds what the other one has.
        for name in ("deep", "keys"):
            other = alone[1 - rank][name]
            shared = called({name: Attention()}, heads, lambda mine, other=other: mine + other, 2)
            torch.testing.assert_close(shared[name], whole[name])
