"""Time of every method that works before the language model, and of the original programs.

    .venv/bin/python benchmarks/methods.py [--runs 7]

Input: a synthetic video with two cuts, 32 frames of 14x14 tokens, 896 channels, float32; a tenth is kept. One thread.
Only the method runs: attention and keys are given. The originals were timed once, on a shared two-core CPU machine,
with their authors' code on a synthetic video of the same size. The ratios compare different runs and perhaps machines,
so they are only a guide.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time

import torch

from vidfold import Pooling, VideoTokens, __version__
from vidfold.app.tables import table
from vidfold.reducers import METHODS, InnerReducer, Reducer

ORIGINAL_CPU_MS = {
    "holitom": 91,
    "fastvid": 70,
    "visionzip": 177,
    "prunevid": 116,
    "vidcom2": 84,
    "evs": 18,
    "dycoke": 17,
    "llava-scissor": 300,
    "flashvid": 121,
    "simplecluster": 1936,
    "ott-vid": 222,
    "divprune": 3881,
    "tome": 44,
}
"""CPU milliseconds of the originals: one thread, torch 2.13, median of 3. DyCoke keeps 35 %, its minimum;
FastVID is its LLaVA-Video code, HoliTom has threshold 0.65, OTT-Vid epsilon 0.01 and 200 iterations."""


def synthetic_video(seed: int = 0) -> VideoTokens:
    """Three scenes of similar frames, with two cuts."""
    generator = torch.Generator().manual_seed(seed)
    scenes = torch.randn(3, 196, 896, generator=generator)
    scene_of = torch.arange(32) * 3 // 32
    features = scenes[scene_of] + 0.3 * torch.randn(32, 196, 896, generator=generator)
    attention = torch.rand(2, 32, 196, generator=generator) ** 3
    keys = torch.randn(32, 196, 72, generator=generator) + features[..., :72]
    return VideoTokens(features, (14, 14), Pooling.NONE, attention[0], attention[1], keys=keys)


def cpu_milliseconds(reducer: Reducer, tokens: VideoTokens, runs: int) -> tuple[list[float], int]:
    """CPU time of each run after a warm-up, and the tokens kept."""
    kept = len(reducer(tokens))
    times = []
    for _ in range(runs):
        start = time.process_time()
        reducer(tokens)
        times.append(1000 * (time.process_time() - start))
    return times, kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7, help="runs per method after the warm-up (default: 7)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    tokens = synthetic_video()
    print(f"vidfold {__version__}, torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}")
    rows: list[tuple[str, ...]] = [
        ("method", "kept", "CPU ms", "fastest to slowest", "original CPU ms", "ours / original")
    ]
    for name, method in sorted(METHODS.items()):
        if issubclass(method, InnerReducer) or name == "identity":
            continue
        times, kept = cpu_milliseconds(method(), tokens, options.runs)
        median, original = statistics.median(times), ORIGINAL_CPU_MS.get(name)
        compared = ("-", "-") if original is None else (str(original), f"{median / original:.2f}")
        rows.append((name, str(kept), f"{median:.0f}", f"{min(times):.0f} to {max(times):.0f}", *compared))
    print(table(rows))


if __name__ == "__main__":
    main()
