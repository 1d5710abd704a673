"""Time that received attention of two of 26 vision layers adds to the tower.

    .venv/bin/python -m lab.saliency [--threads 1] [--runs 9]

One frame at the shape of SigLIP so400m: 729 tokens, 16 heads of 72 channels, width 1152. Timed in turns: a layer of the
tower (half of the difference between four layers and two), the received attention of one layer, and the product q·kᵀ,
which is its least work. Passing on queries and keys is not counted.
"""

import argparse
import platform
import statistics
from functools import partial

import torch
from transformers import SiglipVisionConfig, SiglipVisionModel

from vidfold import __version__
from vidfold.app.asking import timed
from vidfold.app.tables import table
from vidfold.models.attention.received import received

TOKENS, HEADS, CHANNELS, LAYERS, OBSERVED = 729, 16, 72, 26, 2


def tower(layers: int, device: str, dtype: torch.dtype) -> SiglipVisionModel:
    """Layers of the tower with random weights, without its pooling head."""
    config = SiglipVisionConfig(
        hidden_size=HEADS * CHANNELS,
        intermediate_size=4304,
        num_hidden_layers=layers,
        num_attention_heads=HEADS,
        image_size=384,
        patch_size=14,
        vision_use_head=False,
    )
    return SiglipVisionModel(config).to(device, dtype).eval()


def measure(device: str, dtype: torch.dtype, runs: int) -> list[str]:
    """One row: milliseconds of a layer, of received attention and of q·kᵀ; and the share of a whole tower."""
    place = torch.device(device)
    small, large = tower(2, device, dtype), tower(4, device, dtype)
    pixels = torch.randn(1, 3, 384, 384, device=place, dtype=dtype)
    query, key = torch.randn(2, 1, HEADS, TOKENS, CHANNELS, device=place, dtype=dtype)
    layers, attentions, products = [], [], []
    for run in range(runs + 1):
        less, more = (timed(partial(model, pixels))[1] for model in (small, large))
        attention = timed(lambda: received(query, key))[1]
        product = timed(lambda: query.float() @ key.float().transpose(2, 3))[1]
        if run > 0:  # the first run is a warm-up
            layers.append((more - less) / 2)
            attentions.append(attention)
            products.append(product)
    shares = [100 * OBSERVED * own / (LAYERS * layer) for own, layer in zip(attentions, layers, strict=True)]
    cells = [f"{statistics.median(each):.1f} ms ({min(each):.1f} to {max(each):.1f})" for each in (layers, attentions)]
    percent = f"{statistics.median(shares):.2f} % ({min(shares):.2f} to {max(shares):.2f})"
    return [str(dtype).removeprefix("torch."), *cells, f"{statistics.median(products):.1f} ms", percent]


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m lab.saliency", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    parser.add_argument("--runs", type=int, default=9, help="runs after the warm-up (default: 9)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    print(
        f"vidfold {__version__}, torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}, "
        f"{options.device}, {options.threads} threads, seed 0"
    )
    rows = [["dtype", "a layer", "received attention", "its product", f"{OBSERVED} of {LAYERS} layers add"]]
    rows += [measure(options.device, dtype, options.runs) for dtype in (torch.float32, torch.bfloat16)]
    print(table(rows))


if __name__ == "__main__":
    main()
