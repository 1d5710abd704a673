import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from lab.architecture import TinyConfig, build
from lab.attention import chunked_attention, use_chunked_attention
from lab.packing import pack, see


@pytest.mark.parametrize("length", [7, 300])
@pytest.mark.parametrize("masked", [False, True])
def test_equals_stock_attention_forward_and_backward(length, masked):
    torch.manual_seed(0)
    inputs = [torch.randn(3, 4, length, 16, requires_grad=True) for _ in range(3)]
    mask = None
    if masked:
        mask = torch.zeros(1, 1, length, length).masked_fill(~torch.ones(length, length).tril().bool(), -1e9)
    grad = torch.randn(3, 4, length, 16)
    ours, _ = chunked_attention(torch.nn.Identity(), *inputs, mask, scaling=0.3)
    stock = scaled_dot_product_attention(*inputs, attn_mask=mask, scale=0.3)
    torch.testing.assert_close(ours, stock.transpose(1, 2))
    expected = torch.autograd.grad(stock, inputs, grad)
    torch.testing.assert_close(torch.autograd.grad(ours.transpose(1, 2), inputs, grad), expected, rtol=1e-4, atol=1e-5)


def test_model_output_is_unchanged():
    sizes = TinyConfig(patch=16, vision_width=32, vision_layers=2, vision_heads=2, width=32, layers=2, heads=2)
    model = build(sizes)
    pixels = pack(range(1), sizes.grid).pixels[0]
    stock = see(model, pixels)
    use_chunked_attention(model)
    torch.testing.assert_close(see(model, pixels), stock, rtol=1e-4, atol=1e-5)
