"""AOT in kernels against AOT in torch, in Triton's interpreter if there is no GPU."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.conftest import golden_video, make_video
from vidfold import AOT, Pooling, Reduction, VideoTokens
from vidfold.ops import kernels
from vidfold.reducers.aot import method

pytest.importorskip("triton", reason="the kernels need Triton")
fused = pytest.importorskip("vidfold.reducers.aot.fused")
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:triton")


@pytest.fixture
def on_kernels(monkeypatch):
    """Run a method in kernels on any device."""

    def run(method: AOT, videos: list[VideoTokens], weights: bool = False) -> list[Reduction]:
        with monkeypatch.context() as patch:
            patch.setattr(kernels, "run_for", lambda values: True)
            patch.setattr("vidfold.reducers.aot.method._tried", lambda device: True)
            return method.reduce_all(videos, weights=weights)

    return run


def assert_same(found: Reduction, expected: Reduction) -> None:
    assert torch.equal(found.frames, expected.frames)
    assert torch.equal(found.cells, expected.cells)
    assert found.tokens.dtype == expected.tokens.dtype
    relative = 1e-2 if found.tokens.dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(found.tokens, expected.tokens, atol=1e-5, rtol=relative)


def test_more_channels_than_a_sketch_and_noise_of_rounding(on_kernels):
    """Noise of 1e-7 on the features changes no choice; the last clip is shorter."""
    video = make_video(5, (5, 7), 300)
    noise = 1 + 1e-7 * torch.randn(video.features.shape, generator=torch.Generator().manual_seed(1))
    method = AOT(0.2, clip=2, rounds=3)
    expected = method(video)
    assert_same(on_kernels(method, [replace(video, features=video.features * noise)])[0], expected)


@pytest.mark.lab
@pytest.mark.parametrize(
    ("family", "frames", "settings"),
    [("ov", 8, {"retention": 0.1}), ("vid", 6, {"clip": 3}), ("ov", 4, {"retention": 0.25, "sketch": None})],
)
def test_recorded_features(on_kernels, family, frames, settings):
    """Hundreds of tokens and anchors, which the interpreter takes a minute for."""
    video, method = golden_video(family, frames), AOT(**settings)
    assert_same(on_kernels(method, [video])[0], method(video))


def test_batches_and_weights(on_kernels):
    """Two videos at once, in half precision, without a sketch and without time and place."""
    videos = [make_video(2, (4, 6), 24, Pooling.AVERAGE, torch.bfloat16, seed=seed) for seed in (0, 1)]
    method = AOT(0.4, locality=0.0, sketch=None, rounds=2)
    for found, expected in zip(
        on_kernels(method, videos, weights=True), method.reduce_all(videos, weights=True), strict=True
    ):
        assert_same(found, expected)
        torch.testing.assert_close(found.weights.to_dense(), expected.weights.to_dense())


def test_gradients(on_kernels):
    video = make_video(2, (3, 3), 8, Pooling.NONE)
    method, gradients = AOT(0.3, rounds=1), []
    for run in (lambda given: method.reduce_all([given], weights=False), lambda given: on_kernels(method, [given])):
        features = video.features.clone().requires_grad_()
        run(replace(video, features=features))[0].tokens.square().sum().backward()
        gradients.append(features.grad)
    torch.testing.assert_close(*gradients)


def test_compiles_as_one_graph(monkeypatch):
    video, method = make_video(2, (3, 3), 8, Pooling.NONE), AOT(0.3, rounds=1)
    expected = method(video)
    monkeypatch.setattr(kernels, "run_for", lambda values: True)
    assert_same(
        torch.compile(method.reduce, fullgraph=True, backend="eager")(video, weights=False), expected
    )  # fmt: skip


def test_a_variant_of_a_step_runs_in_torch(on_kernels):
    assigned = []

    @dataclass(frozen=True)
    class Variant(AOT):
        def assign(self, *given):
            assigned.append(given)
            return super().assign(*given)

    video = make_video(2, (3, 3), 8)
    assert_same(on_kernels(Variant(0.3), [video])[0], AOT(0.3)(video))
    assert assigned


def test_kernels_are_tried_once_on_a_device(monkeypatch, caplog):
    """Where they fail or choose otherwise, torch is used, with a warning."""
    video, device = make_video(2, (3, 3), 8, Pooling.NONE), torch.device("cpu")
    expected = AOT(0.3)(video)
    # The trial is of four frames, and is compared with a fold in torch.
    monkeypatch.setattr(kernels, "run_for", lambda values: len(values) == len(video.features))
    method._tried.cache_clear()
    assert method._tried(device)
    assert not caplog.records
    right = fused.fold

    def backwards(*given, **settings):
        found = right(*given, **settings)
        return replace(found, cells=found.cells.flip(0))

    def fails(*given, **settings):
        raise RuntimeError("no code for this GPU")

    for wrong, told in [(backwards, "other tokens"), (fails, "no code for this GPU")]:
        caplog.clear()
        monkeypatch.setattr(fused, "fold", wrong)
        method._tried.cache_clear()
        for _ in range(2):
            assert_same(AOT(0.3)(video), expected)
        (record,) = caplog.records
        assert told in record.message
    method._tried.cache_clear()


def test_kernels_are_for_gpus_with_triton(monkeypatch):
    with FakeTensorMode():
        values = torch.empty(2, device="cuda")
    assert kernels.run_for(values)
    assert not kernels.run_for(torch.empty(2))
    monkeypatch.setattr(kernels, "HAS_TRITON", False)
    assert not kernels.run_for(values)
