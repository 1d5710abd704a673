"""Work computed from a model's config."""

from types import SimpleNamespace

import pytest
from torch.utils.flop_counter import FlopCounterMode

from tests.models.builders import batch, llava_onevision, pixels, prompt
from vidfold.bench.random_models import MODELS
from vidfold.bench.speed import work

SEVEN = MODELS["llava-onevision-7b"]().get_text_config()


@pytest.mark.parametrize(
    ("retention", "printed"), [(1, 40.77), (0.25, 8.71), (0.20, 6.89), (0.15, 5.11), (0.10, 3.37), (0.05, 1.66)]
)
def test_papers_prefill_of_llava_onevision_7b(retention, printed):
    assert work.papers_prefill(SEVEN, retention * 32 * 196) / 1e12 == pytest.approx(printed, abs=0.005)


def test_decoder_prefill_by_hand():
    tiny = SimpleNamespace(
        num_hidden_layers=2, hidden_size=4, num_attention_heads=2, num_key_value_heads=1, intermediate_size=8,
        vocab_size=10,
    )  # fmt: skip
    matrices = 2 * (4 * 4 + 4 * 4 + 2 * 4 * 2 + 3 * 4 * 8)  # queries, output, keys and values, feed-forward
    found = work.prefill(tiny, rows=3, length=5, width=2)
    assert found.operations == 3 * (2 * 5 * matrices + 4 * 2 * 2 * 2 * (1 + 2 + 3 + 4 + 5) + 2 * 4 * 10)
    assert found.bytes == 2 * (matrices + 40 + 3 * 5 * (4 + 2 * 2 * 1 * 2))


def test_step_equals_one_more_token_of_prefill():
    one, two = work.prefill(SEVEN, 1, 100, 2), work.prefill(SEVEN, 1, 101, 2)
    head = 2 * SEVEN.hidden_size * SEVEN.vocab_size
    assert work.step(SEVEN, 1, 100, 2).operations == two.operations - one.operations + head
    assert work.step(SEVEN, 1, 100, 2).bytes == pytest.approx(2 * 7.07e9, rel=0.01)  # all weights but the embeddings


def test_operations_equal_the_count_of_torch():
    model = llava_onevision(side=8, depth=3, attention="eager")
    inputs = batch([prompt(model, frames=2)]) | {"pixel_values_videos": pixels(model)}
    with FlopCounterMode(display=False) as tower:
        model.get_video_features(inputs["pixel_values_videos"])
    assert work.encode(model.config, 2, 1, 4).operations == tower.get_total_flops()

    with FlopCounterMode(display=False) as whole:
        model(**inputs, logits_to_keep=1)
    length, text = inputs["input_ids"].shape[1], model.config.get_text_config()
    # Eager attention computes the whole square; causal attention needs half of it.
    head = text.hidden_size // text.num_attention_heads
    upper = 4 * text.num_hidden_layers * text.num_attention_heads * head * length * (length - 1) // 2
    measured = whole.get_total_flops() - tower.get_total_flops()
    assert work.prefill(text, 1, length, 4).operations + upper == pytest.approx(measured, rel=1e-3)


def test_work_of_received_attention_and_fold():
    config = MODELS["llava-onevision-0.5b"]()
    assert work.received(config, frames=1, layers=2, width=2).operations == 2 * 2 * 729**2 * 1152
    assert work.encode(config, 1, 1, 2).operations == pytest.approx(0.647e12, rel=0.01)
    fold = work.fold(config, frames=32, kept=627, width=2)
    assert fold.operations is None
    assert fold.bytes == 2 * 896 * (32 * 729 + 627)
