import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vidfold.models.attention.received import received


class Largest(TorchDispatchMode):
    """Elements of the largest tensor that any operation made, views of others left out."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if not any(each.alias_info for each in func._schema.returns):
            sizes = [leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
            self.elements = max([self.elements, *sizes])
        return result


@pytest.fixture(params=["torch", "triton"])
def computed(request):
    """`received` of one backend: Triton's on the GPU where there is one, else in its interpreter."""
    device = "cpu"
    if request.param == "triton":
        pytest.importorskip("triton")
        device = "cuda" if torch.cuda.is_available() else "cpu"

    def compute(*tensors, **settings):
        moved = {name: each.to(device) if torch.is_tensor(each) else each for name, each in settings.items()}
        tensors = [each.to(device) if torch.is_tensor(each) else each for each in tensors]
        return received(*tensors, **moved, backend=request.param).cpu()

    return compute


# Triton's interpreter is numpy, which speaks of the NaNs that some cases are made of.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def queries_and_keys(frames=3, heads=2, queries=50, keys=50, channels=8, dtype=torch.float32, shared=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = (frames, heads, queries, channels), (frames, shared or heads, keys, channels)
    return tuple(2 * torch.randn(*shape, generator=generator).to(dtype) for shape in shapes)


def by_matrix(query, key, scale=None):
    """The definition, in float64: every query head's matrix."""
    key = key.repeat_interleave(query.shape[1] // key.shape[1], 1)
    scores = query.double() @ key.double().transpose(-1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale)
    return scores.softmax(-1).sum(2).mean(1)


def by_window(query, key, lengths):
    parts = (each.split(lengths, 2) for each in (query, key))
    return torch.cat([by_matrix(*window) for window in zip(*parts, strict=True)], 1)


def assert_near(result, expected, rtol=1e-5):
    assert result.dtype == torch.float32
    torch.testing.assert_close(result.double(), expected, rtol=rtol, atol=0, equal_nan=True)


@pytest.mark.parametrize("block", [None, 1, 49, 2500, 7000, 10**9])
@pytest.mark.parametrize("shared", [4, 2, 1])
def test_column_sums_for_any_block_size(block, shared):
    query, key = queries_and_keys(heads=4, shared=shared)
    assert_near(received(query, key, 0.3, block=block, backend="torch"), by_matrix(query, key, 0.3))


SHAPES = {
    "one token": {"queries": 1, "keys": 1},
    "one head": {"heads": 1},
    "odd sizes": {"frames": 2, "queries": 67, "keys": 67, "channels": 7},
    "channels of SigLIP": {"queries": 20, "keys": 20, "channels": 72},
    "many channels": {"frames": 1, "heads": 1, "channels": 300},
    "fewer queries": {"queries": 7},
    "fewer keys": {"frames": 2, "queries": 70, "keys": 3},
    "shared keys": {"frames": 2, "heads": 4, "shared": 2, "queries": 33},
    "one key head": {"heads": 3, "shared": 1},
    "no frames": {"frames": 0},
    "no queries": {"queries": 0},
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_shapes(computed, shape):
    query, key = queries_and_keys(**shape)
    result = computed(query, key)
    assert_near(result, by_matrix(query, key))
    torch.testing.assert_close(result.sum(1), torch.full((len(query),), float(query.shape[2])))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_computes_in_float32(computed, dtype):
    query, key = queries_and_keys(frames=2, heads=2, dtype=dtype)
    assert_near(computed(query, key), by_matrix(query, key))
    assert_near(computed(query, key.float()), by_matrix(query, key))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_near(computed(query, key), by_matrix(query, key))


LENGTHS = {
    "one": [90],
    "equal": [30, 30, 30],
    "mixed": [16, 16, 8, 1, 1, 40, 8],
    "empty ones": [0, 64, 0, 0, 26, 0],
    "single tokens": [1] * 90,
}


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("shared", [2, 1])
def test_packed_windows(computed, lengths, shared):
    query, key = queries_and_keys(frames=1, heads=2, queries=90, keys=90, shared=shared)
    expected = by_window(query, key, lengths)
    assert_near(computed(query, key, lengths=lengths), expected)
    assert_near(computed(query, key, lengths=torch.tensor(lengths, dtype=torch.int32)), expected)


def test_packed_windows_across_blocks():
    query, key = queries_and_keys(frames=1, queries=90, keys=90)
    lengths = [40, 8, 8, 34]
    assert_near(received(query, key, lengths=lengths, block=100, backend="torch"), by_window(query, key, lengths))


@pytest.mark.parametrize("scale", [256, -256])
def test_large_scores_do_not_overflow(computed, scale):
    # Scores are integers, exact in float32.
    query, key = (each.round() for each in queries_and_keys())
    assert ((query @ key.transpose(-1, -2)) * scale).abs().max() > 1e4
    result, expected = computed(query, key, scale), by_matrix(query, key, scale)
    torch.testing.assert_close(result.double(), expected, rtol=1e-5, atol=1e-30)


def test_layouts(computed):
    query, key = queries_and_keys(queries=40, keys=40, shared=1)
    expected = by_matrix(query, key)
    by_token = (each.transpose(1, 2).contiguous().transpose(1, 2) for each in (query, key))
    assert_near(computed(*by_token), expected)
    by_channel = (each.transpose(2, 3).contiguous().transpose(2, 3) for each in (query, key))
    assert_near(computed(*by_channel), expected)
    wide = torch.cat([query, key.repeat_interleave(2, 1)], 3)
    assert_near(computed(wide[..., :8], wide[:, ::2, :, 8:]), expected)
    assert_near(computed(query[:, :, ::3], key[:, :, 5:]), by_matrix(query[:, :, ::3], key[:, :, 5:]))
    assert_near(computed(query[:1].expand(3, -1, -1, -1), key), by_matrix(query[:1].expand(3, -1, -1, -1), key))


def test_no_gradient(computed):
    query, key = (each.requires_grad_() for each in queries_and_keys())
    assert not computed(query, key).requires_grad


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("place", ["query", "key"])
def test_nan_stays_within_its_frame(computed, value, place):
    query, key = queries_and_keys(shared=1)
    {"query": query, "key": key}[place][1, -1, 2, 3] = value
    result = computed(query, key)
    assert result[1].isnan().all()
    assert_near(result[::2], by_matrix(query, key)[::2])
    packed = [each.transpose(0, 1).flatten(1, 2)[None] for each in (query, key)]
    assert_near(computed(*packed, lengths=[50] * 3).view(3, 50), result.double())


def test_deterministic(computed):
    query, key = queries_and_keys(frames=2, heads=2, queries=70, keys=70)
    assert torch.equal(computed(query, key), computed(query, key))


@pytest.mark.parametrize("backend", ["torch", "triton"])
def test_compiles_as_one_graph(backend):
    if backend == "triton":
        pytest.importorskip("triton")
    device = "cuda" if backend == "triton" and torch.cuda.is_available() else "cpu"
    query, key = (each.to(device) for each in queries_and_keys())
    whole = torch.compile(lambda q, k: received(2 * q, k, backend=backend) + 1, backend="eager", fullgraph=True)
    assert_near(whole(query, key).cpu(), by_matrix(2 * query, key).cpu() + 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nothing_larger_than_the_block_is_allocated(dtype):
    many = queries_and_keys(frames=16, heads=4, queries=200, keys=200, dtype=dtype, shared=2)
    packed = queries_and_keys(frames=1, heads=4, queries=3000, keys=3000, dtype=dtype)
    lengths = [200, 100] * 10
    few = queries_and_keys(frames=300, heads=4, queries=1, keys=200, dtype=dtype)
    with Largest() as largest:
        for query, key, settings in ((*many, {}), (*packed, {"lengths": lengths}), (*few, {})):
            largest.elements = 0
            received(query, key, **settings, block=15_000, backend="torch")
            # Both buffers are allocated at once; the result is no extra.
            assert largest.elements <= max(2 * 15_000, len(query) * key.shape[2])


FIT = (2, 4, 5, 8), (2, 4, 5, 8)


@pytest.mark.parametrize(
    ("shapes", "settings", "quoted"),
    [
        (((2, 4, 5, 8), (2, 3, 5, 8)), {}, r"\(2, 3, 5, 8\)"),
        (((2, 4, 5, 8), (2, 0, 5, 8)), {}, r"\(2, 0, 5, 8\)"),
        (((2, 4, 5, 8), (1, 4, 5, 8)), {}, r"\(1, 4, 5, 8\)"),
        (((2, 4, 5, 8), (2, 4, 5, 9)), {}, r"\(2, 4, 5, 9\)"),
        (((2, 4, 5), (2, 4, 5)), {}, r"\(2, 4, 5\)"),
        (FIT, {"block": 0}, "got 0"),
        (FIT, {"backend": "cuda"}, "'cuda'"),
        (FIT, {"lengths": [5]}, "one frame"),
        (((1, 4, 5, 8), (1, 4, 6, 8)), {"lengths": [5]}, r"\(1, 4, 6, 8\)"),
        (((1, 4, 5, 8),) * 2, {"lengths": [2, 2]}, r"5 tokens, got \[2, 2\]"),
        (((1, 4, 5, 8),) * 2, {"lengths": []}, r"5 tokens, got \[\]"),
        (((1, 4, 5, 8),) * 2, {"lengths": torch.tensor([7, -2])}, r"got \[7, -2\]"),
        (((1, 4, 5, 8),) * 2, {"lengths": torch.tensor([5.0])}, "torch.float32"),
        (((1, 4, 5, 8),) * 2, {"lengths": torch.tensor([[5]])}, r"\(1, 1\)"),
    ],
)
def test_bad_input_raises(shapes, settings, quoted):
    with pytest.raises(ValueError, match=quoted):
        received(*map(torch.zeros, shapes), **settings)


def test_integers_and_two_devices_raise():
    query, key = map(torch.zeros, FIT)
    with pytest.raises(ValueError, match=r"torch.int64"):
        received(query.long(), key)
    with pytest.raises(ValueError, match="cpu and meta"):
        received(query, key.to("meta"))


def test_triton_backend_needs_triton(monkeypatch):
    monkeypatch.setattr("vidfold.models.attention.received.HAS_TRITON", False)
    with pytest.raises(ValueError, match="pip install triton"):
        received(*map(torch.zeros, FIT), backend="triton")


def test_wrong_lengths_on_a_device_give_nan():
    kernels = pytest.importorskip("triton") and pytest.importorskip("vidfold.models.attention.kernels")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    query, key = (each.to(device) for each in queries_and_keys(frames=1))
    for lengths in ([20, 20], [20, 40]):
        wrong = torch.tensor(lengths, device=device, dtype=torch.int64)
        assert kernels.column_sums(query, key, 1.0, wrong).isnan().all()
