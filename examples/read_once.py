"""Read a video once, ask many questions, and ask again in another process.

The embedded model of the package needs no download. A follow-up question computes the question and the answer alone:
no frame, no vision tower, no fold, nothing of the video.

    python examples/read_once.py [--output clip.vidfold]
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import vidfold
from vidfold import AOT, fold, tiny
from vidfold.app.asking import processed
from vidfold.app.loading import load
from vidfold.app.reading import timed
from vidfold.app.tables import amount, duration, table

CLIP = tiny.render(seed=1_000_000_045, frames=16)
ASKED = tiny.questions(CLIP)
FOLD = AOT(retention=0.10)

AGAIN = """
import sys
import vidfold
from vidfold.app.loading import load

loaded = load("tiny", device="cpu")
print(*vidfold.open_video(sys.argv[1], loaded.model, loaded.processor).ask(sys.argv[2:]), sep="\\n")
"""


def timed_call(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and how long it took."""
    start = time.perf_counter()
    result = call()
    return result, 1000 * (time.perf_counter() - start)


def main() -> None:
    """Read, ask, save, and ask in a new process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default="clip.vidfold", help="where the video is saved (default: clip.vidfold)")
    output = parser.parse_args().output
    loaded = load("tiny", device="cpu")
    model, processor, texts = loaded.model, loaded.processor, [each.text for each in ASKED]

    def in_one_go(question: str) -> str:
        with fold(model, FOLD):
            inputs = processed(loaded, timed(CLIP.frames, 1.0), [question])
            ids = model.generate(**inputs, max_new_tokens=8, do_sample=False)
        return str(processor.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)).strip()

    in_one_go(texts[0])  # to warm up
    expected, first = zip(*(timed_call(lambda text=text: in_one_go(text)) for text in texts), strict=True)
    video, reading = timed_call(lambda: vidfold.read(model, processor, CLIP.frames, FOLD))
    answers, later = zip(*(timed_call(lambda text=text: video.ask(text)) for text in texts), strict=True)
    together, batch = timed_call(lambda: video.ask(texts))
    with_cache = video.save(output, cache=True)
    without = video.save(output)
    command = [sys.executable, "-c", AGAIN, output, *texts]
    again = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    rows = [("question", "true answer", "in one go", "read once", "in a new process")]
    rows += list(zip(texts, [each.answer for each in ASKED], expected, answers, again, strict=True))
    print(table(rows))
    same = list(expected) == list(answers) == together == again
    print(f"\nanswers are {'equal' if same else 'NOT EQUAL'} in one go, read once, in one batch and in a new process\n")
    print(video)
    times = [
        ("every question in one go, median", duration(statistics.median(first))),
        ("reading once", duration(reading)),
        ("a follow-up question, median", duration(statistics.median(later))),
        (f"{len(texts)} questions in one batch", duration(batch)),
        ("on disk", f"{amount(without, 'B')}, with the cache {amount(with_cache, 'B')}"),
    ]
    print(table(times))


if __name__ == "__main__":
    main()
