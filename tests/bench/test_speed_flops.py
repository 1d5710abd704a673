"""Work computed from a model's sizes."""

import pytest
from torch.utils.flop_counter import FlopCounterMode

from tests.models.builders import batch, llava_onevision, pixels, prompt
from vidfold.bench.speed.flops import Decoder, Tower

SEVEN = Decoder(layers=28, width=3584, heads=28, shared=4, head=128, inner=18944, vocabulary=152128)


@pytest.mark.parametrize(
    ("retention", "printed"), [(1, 40.77), (0.25, 8.71), (0.20, 6.89), (0.15, 5.11), (0.10, 3.37), (0.05, 1.66)]
)
def test_papers_prefill_of_llava_onevision_7b(retention, printed):
    assert SEVEN.papers_prefill(retention * 32 * 196) / 1e12 == pytest.approx(printed, abs=0.005)


def test_decoder_prefill_by_hand():
    tiny = Decoder(layers=2, width=4, heads=2, shared=1, head=2, inner=8, vocabulary=10)
    matrices = 2 * (4 * 4 + 4 * 4 + 2 * 4 * 2 + 3 * 4 * 8)  # queries, output, keys and values, feed-forward
    work = tiny.prefill(rows=3, length=5, width=2)
    assert work.operations == 3 * (2 * 5 * matrices + 4 * 2 * 2 * 2 * (1 + 2 + 3 + 4 + 5) + 2 * 4 * 10)
    assert work.bytes == 2 * (matrices + 40 + 3 * 5 * (4 + 2 * 2 * 1 * 2))


def test_step_equals_one_more_token_of_prefill():
    one, two = SEVEN.prefill(1, 100, 2), SEVEN.prefill(1, 101, 2)
    head = 2 * SEVEN.width * SEVEN.vocabulary
    assert SEVEN.step(1, 100, 2).operations == two.operations - one.operations + head
    assert SEVEN.step(1, 100, 2).bytes == pytest.approx(2 * 7.07e9, rel=0.01)  # all weights except the embeddings


def test_operations_equal_the_count_of_torch():
    model = llava_onevision(side=8, depth=3, attention="eager")
    inputs = batch([prompt(model, frames=2)]) | {"pixel_values_videos": pixels(model)}
    with FlopCounterMode(display=False) as tower:
        model.get_video_features(inputs["pixel_values_videos"])
    assert Tower.of(model.config).encode(2, 1, 4).operations == tower.get_total_flops()

    with FlopCounterMode(display=False) as whole:
        model(**inputs, logits_to_keep=1)
    length = inputs["input_ids"].shape[1]
    decoder = Decoder.of(model.config.get_text_config())
    # Eager attention computes the whole square; causal attention needs half of it.
    upper = 4 * decoder.layers * decoder.heads * decoder.head * length * (length - 1) // 2
    measured = whole.get_total_flops() - tower.get_total_flops()
    assert decoder.prefill(1, length, 4).operations + upper == pytest.approx(measured, rel=1e-3)


def test_work_of_received_attention_and_fold():
    tower = Tower(layers=26, patches=729, width=1152, inner=4304, pixels=588, out=896)
    assert tower.received(frames=1, layers=2, width=2).operations == 2 * 2 * 729**2 * 1152
    assert tower.encode(1, 1, 2).operations == pytest.approx(0.647e12, rel=0.01)
    fold = tower.fold(frames=32, kept=627, width=2)
    assert fold.operations is None
    assert fold.bytes == 2 * 896 * (32 * 729 + 627)
