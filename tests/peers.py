"""Golden files from the programs of published methods: inputs as videos, and cases."""

import torch

from tests.conftest import load_golden
from vidfold import Pooling, VideoTokens


def peer_video(frames: int, *, newline: float | None = None) -> VideoTokens:
    """The pooled input of ``frames`` frames that all golden files of other methods share."""
    data = load_golden("peers/inputs")
    features = data[f"f{frames}_feats"]
    return VideoTokens(
        features=features,
        grid=(14, 14),
        pooling=Pooling.NONE,
        deep=data[f"f{frames}_attn"],
        keys=data[f"f{frames}_keys"],
        head_attention=data[f"f{frames}_pool_attn"],
        frame_features=data[f"f{frames}_global_feats"],
        newline=None if newline is None else torch.full((features.shape[2],), newline),
    )


def peer_cases(name: str) -> dict[str, tuple[int, dict, dict]]:
    """Case -> (frames, parameters, arrays) of a method's golden file."""
    golden = load_golden(f"peers/{name}")
    cases = {}
    for case, params in golden["meta"].items():
        arrays = {key[len(case) + 1 :]: value for key, value in golden.items() if key.startswith(f"{case}_")}
        cases[case] = (int(case[1:].split("_")[0]), params, arrays)
    return cases
