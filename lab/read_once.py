"""What a follow-up question costs: beside a first question, and beside the same question without a video.

    .venv/bin/python -m lab.read_once [--model llava-onevision-0.5b] [--frames 32] [--turns 5]

A model of real size with random weights. A first question encodes, folds, prefills and answers in one call; a follow-up
is asked of the same video, read once; alone is the question and its answer without any video. Follow-ups and questions
alone take turns; all have the same number of new tokens.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from vidfold import AOT, fold
from vidfold.app import random_models
from vidfold.app.tables import amount, duration, table


def milliseconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="llava-onevision-0.5b", choices=sorted(random_models.MODELS))
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--question", type=int, default=32, help="tokens of the question")
    parser.add_argument("--answer", type=int, default=16, help="tokens of the answer")
    parser.add_argument("--retention", type=float, default=0.1)
    parser.add_argument("--dtype", default="bfloat16")
    options = parser.parse_args()
    model = random_models.build(options.model, dtype=options.dtype)
    inputs = random_models.inputs(model, options.frames, text=2 * options.question)
    question = inputs["input_ids"][:, -options.question :]
    opening: dict[str, Any] = inputs | {
        name: inputs[name][:, : -options.question] for name in ("input_ids", "attention_mask")
    }
    settings = {"max_new_tokens": options.answer, "do_sample": False}
    with fold(model, AOT(retention=options.retention)) as folded:
        first = milliseconds(lambda: model.generate(**inputs, **settings))
        start = time.perf_counter()
        video = folded.read(**opening)
        reading = 1000 * (time.perf_counter() - start)
    video.generate(question, **settings)  # to warm up
    later, alone = [], []
    for _ in range(options.turns):
        later.append(milliseconds(lambda: video.generate(question, **settings)))
        alone.append(milliseconds(lambda: model.generate(question, **settings)))
    follow_up, bare = statistics.median(later), statistics.median(alone)
    ratios = [each / other for each, other in zip(later, alone, strict=True)]
    rows = [
        ("first question, in one call", duration(first)),
        ("reading once", duration(reading)),
        ("follow-up question", f"{duration(follow_up)}, {first / follow_up:.0f} times sooner than the first"),
        ("the question without a video", duration(bare)),
        ("follow-up / without a video", f"{statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}"),
        ("kept", f"{video.tokens} of {video.before} tokens, cache {amount(video.prefix.nbytes, 'B')}"),
    ]
    lengths = f"question of {options.question} tokens, answer of {options.answer}"
    print(f"{options.model}, {options.frames} frames, {options.dtype}, {lengths}")
    print(table(rows))


if __name__ == "__main__":
    main()
