import pytest
import torch
from transformers import Qwen2Config, Qwen2Model, Qwen3Config, Qwen3Model

from vidfold.models.inner.ranking import attention_of, best, check_layer, take

SIZES = {
    "vocab_size": 16,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "attn_implementation": "eager",
}


def decoder(config, model):
    torch.manual_seed(0)
    built = model(config(**SIZES)).eval()
    with torch.no_grad():
        for name, weight in built.named_parameters():
            weight.copy_(torch.randn_like(weight) * 0.4 + ("norm" in name))
    return built


@pytest.mark.parametrize("family", [(Qwen2Config, Qwen2Model), (Qwen3Config, Qwen3Model)], ids=["qwen2", "qwen3"])
@pytest.mark.parametrize("shift", [0, 7])
def test_one_row_equals_the_attention_of_the_layer(family, shift):
    model = decoder(*family)
    states = torch.randn(2, 9, 32, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(2, 9, dtype=torch.long)
    mask[1, :3] = 0
    positions = (torch.arange(9) + shift)[None]
    with torch.no_grad():
        output = model(
            inputs_embeds=states,
            attention_mask=mask,
            position_ids=positions,
            output_attentions=True,
            output_hidden_states=True,
        )
    embeddings = model.rotary_emb(states, positions)
    query = torch.tensor([8, 6])
    visible = mask.bool() & (torch.arange(9) <= query[:, None])
    for index, layer in enumerate(model.layers):
        row = attention_of(layer, output.hidden_states[index], embeddings, query, visible)
        expected = output.attentions[index][torch.arange(2), :, query].mean(1)
        torch.testing.assert_close(row, expected, rtol=0, atol=1e-6)
        torch.testing.assert_close(row.sum(1), torch.ones(2))
        assert (row[~visible] == 0).all()


def test_half_precision_gives_finite_float32():
    model = decoder(Qwen2Config, Qwen2Model).half()
    states = torch.randn(1, 5, 32).half()
    embeddings = model.rotary_emb(states, torch.arange(5)[None])
    row = attention_of(model.layers[0], states, embeddings, torch.tensor([4]), torch.ones(1, 5, dtype=torch.bool))
    assert row.dtype == torch.float32
    assert torch.isfinite(row).all()


def test_best_keeps_the_highest_scores_of_every_segment():
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(3, 40, generator=generator)
    segments = torch.randint(0, 5, (3, 40), generator=generator)
    limits = torch.tensor([3, 0, 40, 1, 5])
    keep = best(scores, segments, limits)
    for row in range(3):
        for segment, limit in enumerate(limits.tolist()):
            columns = (segments[row] == segment).nonzero()[:, 0]
            highest = columns[scores[row, columns].topk(min(limit, len(columns))).indices]
            assert set(keep[row].nonzero()[:, 0].tolist()) & set(columns.tolist()) == set(highest.tolist())


def test_ties_go_to_the_first():
    keep = best(torch.zeros(1, 6), torch.tensor([[1, 0, 0, 1, 0, 0]]), torch.tensor([2, 1]))
    assert keep.tolist() == [[True, True, True, False, False, False]]


def test_take_follows_rows_and_repeats_a_shared_one():
    values = torch.arange(24.0).view(2, 4, 3)
    index = torch.tensor([[3, 0], [1, 1]])
    assert torch.equal(take(values, index), torch.stack([values[0, [3, 0]], values[1, [1, 1]]]))
    assert torch.equal(take(values[:1], index), torch.stack([values[0, [3, 0]], values[0, [1, 1]]]))
    axes = values.expand(3, 2, 4, 3)
    assert torch.equal(take(axes, index)[2], take(values, index))


def test_unknown_layer_class_raises():
    with pytest.raises(ValueError, match="Linear has no input_layernorm"):
        check_layer(torch.nn.Linear(2, 2))
    check_layer(decoder(Qwen2Config, Qwen2Model).layers[0])
