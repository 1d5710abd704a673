"""How many operations one fold launches on a device, and that the host waits for none of them."""

from collections import Counter
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from vidfold import AOT, Pooling, VideoTokens
from vidfold.ops import kernels

FREE = {"alias", "detach", "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_unsafe_view"}
"""Operations that give out memory or another view of it, and launch nothing."""
WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "unique", "_unique2", "equal", "bincount"}
"""Operations for which the host waits, as their results, or the shapes of them, depend on numbers."""
MOST = 520
"""Operations of a fold with the default settings and 896 channels, in plain torch."""
MOST_FUSED = 51
"""The same in the kernels of `vidfold.ops.kernels`: 39 of these, and 12 operations of torch."""


class Launches(TorchDispatchMode):
    """Counts the operations that launch at least one kernel, by name; fails at one for which the host waits."""

    def __init__(self) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()
        self.bytes = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function.overloadpacket.__name__
        by_mask = name in ("index", "index_put_") and any(i is not None and i.dtype == torch.bool for i in args[1])
        assert name not in WAITS, f"{name} waits for the device"
        assert not by_mask, f"{name} by a mask waits for the device"
        self.names[name] += not function.is_view and name not in FREE
        result = function(*args, **(kwargs or {}))
        self.bytes += result.nbytes if isinstance(result, torch.Tensor) and not function.is_view else 0
        return result


def launches(frames: int, retention: float, rounds: int = 6) -> int:
    """Operations of a fold of 14 x 14 tokens a frame on a device without values."""
    features = torch.empty(frames, 196, 896, device="meta")
    video = VideoTokens(features, (14, 14), check=False)
    with Launches() as counted:
        AOT(retention=retention, rounds=rounds).reduce_all([video], weights=False)
    return counted.names.total()


@pytest.fixture
def launched(monkeypatch):
    """The names of Triton kernels as they are launched, none of which then runs, when `AOT` runs in kernels."""
    pytest.importorskip("triton", reason="the kernels need Triton")
    from triton.runtime.jit import KernelInterface

    from vidfold.ops.kernels import channels, exchange, groups, quantise
    from vidfold.reducers.aot import fused

    names: list[str] = []

    class Counted:
        def __init__(self, name: str) -> None:
            self.name = name

        def __getitem__(self, grid: tuple[int, ...]) -> Any:
            assert 0 < len(grid) <= 3
            assert min(grid) > 0
            return lambda *args, **settings: names.append(self.name)

    for module in (channels, exchange, groups, quantise):
        for name, value in list(vars(module).items()):
            if isinstance(value, KernelInterface):
                monkeypatch.setattr(module, name, Counted(name))
    monkeypatch.setattr(fused, "folded", fused.launched)
    monkeypatch.setattr(kernels, "run_for", lambda values: True)
    monkeypatch.setattr("vidfold.reducers.aot.method._tried", lambda device: True)
    return names


@pytest.mark.parametrize("retention", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("frames", [8, 32, 128])
def test_a_fold_launches_the_same_operations_at_any_length_and_budget(frames, retention):
    assert launches(frames, retention) == MOST


@pytest.mark.parametrize("retention", [0.02, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("frames", [1, 32, 1024])
def test_kernels_launch_few_operations_at_any_length_and_budget(launched, frames, retention):
    """Where all is kept, time and place have no weight and no kernels."""
    assert launches(frames, retention) + len(launched) == MOST_FUSED - 3 * (retention == 1)


def test_kernels_ask_for_less_memory_than_the_features_take(launched):
    """All that is asked for, the result too, though much of it is given back on the way."""
    features = torch.empty(32, 196, 3584, dtype=torch.bfloat16, device="meta")
    with Launches() as counted:
        AOT(retention=0.1).reduce_all([VideoTokens(features, (14, 14), check=False)], weights=False)
    assert counted.bytes < 30e6 < features.nbytes


def test_a_round_of_kernels_is_five_launches(launched):
    counts = []
    for rounds in (6, 7):
        launched.clear()
        counts.append(launches(32, 0.1, rounds) + len(launched))
    assert counts[1] - counts[0] == 5


def test_pooling_is_two_operations_more(launched):
    video = VideoTokens(torch.empty(32, 729, 896, device="meta"), (27, 27), Pooling.BILINEAR, check=False)
    with Launches() as counted:
        AOT(retention=0.1).reduce_all([video], weights=False)
    assert counted.names.total() + len(launched) <= MOST_FUSED + 2


def test_a_round_adds_no_more_than_this():
    assert launches(32, 0.1, rounds=7) - launches(32, 0.1, rounds=6) <= 61


def test_values_are_checked_with_one_wait():
    """Making the video checks them; nothing else waits."""
    waited = []

    class Counting(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            waited.extend([function] if function.overloadpacket.__name__ in WAITS else [])
            return function(*args, **(kwargs or {}))

    with Counting():
        VideoTokens(torch.randn(8, 16, 4), (4, 4), shallow=torch.rand(8, 16), deep=torch.rand(8, 16))
    assert len(waited) == 1
