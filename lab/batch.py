"""How fast batches are on this machine, and what memory they take.

    .venv/bin/python -m lab.batch throughput --clips 64 --workers 1 2
    .venv/bin/python -m lab.batch memory --items 2000 --output benchmarks/batch

Clips of the embedded model's world, asked by that model. Rates count from when the first model is loaded. Memory is the
proportional share of every process (PSS), once a second: of the driver, and of workers and decoders.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import psutil

from vidfold.app.tables import table
from vidfold.batch import Resources, Tally, Task, run
from vidfold.batch.local import cores
from vidfold.tiny import render, seeds
from vidfold.video import write

QUESTION = "what is shown?"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("throughput", "memory"))
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("out/batch"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = clips(Path(folder), options.clips)
        if options.what == "throughput":
            throughput(made, options)
        else:
            memory(made, options)


def clips(folder: Path, count: int) -> list[str]:
    """Clips of eight frames, 384 x 384, 48 pictures."""
    paths = []
    for number, seed in enumerate(seeds("search", count)):
        path = folder / f"{number:04d}.mp4"
        write(path, render(seed).frames, scale=4, hold=6)
        paths.append(str(path))
    return paths


def throughput(paths: list[str], options: argparse.Namespace) -> None:
    """Rows a second by number of workers, in turns; the median of the rounds."""
    rates: dict[int, list[float]] = {count: [] for count in options.workers}
    for _ in range(options.rounds):
        for count, found in rates.items():
            with tempfile.TemporaryDirectory() as output:
                found.append(run(paths, QUESTION, output=output, resources=Resources(workers=count)).rate)
    first = statistics.median(rates[options.workers[0]])
    head = ("workers", "rows a second", "fastest", "slowest", "times the first")
    rows = [
        (f"{count}", f"{middle:.2f}", f"{max(found):.2f}", f"{min(found):.2f}", f"{middle / first:.2f}")
        for count, found in rates.items()
        if (middle := statistics.median(found))
    ]
    print(table([head, *rows]))
    print(f"\n{len(paths)} clips, {options.rounds} rounds in turns, {cores()} cores")


def memory(paths: list[str], options: argparse.Namespace) -> None:
    """Memory over many items; the clips are asked about again and again, under other names."""
    tasks = [Task(str(number), paths[number % len(paths)], (QUESTION,)) for number in range(options.items)]
    samples: list[dict[str, float]] = []
    driver, last = psutil.Process(), [0.0]

    def watch(tally: Tally) -> None:
        if time.monotonic() > last[0] + 1:
            last[0] = time.monotonic()
            others = [size(each) for each in driver.children(recursive=True)]
            samples.append({"rows": tally.done, "driver": size(driver), "workers": sum(others)})

    with tempfile.TemporaryDirectory() as output:
        resources = Resources(workers=options.workers[-1])
        tally = run(tasks, output=output, resources=resources, watch=watch)
    options.output.mkdir(parents=True, exist_ok=True)
    facts = {"items": options.items, "workers": options.workers[-1], "rate": tally.rate, "samples": samples}
    (options.output / "memory.json").write_text(json.dumps(facts) + "\n", encoding="utf-8")
    draw(samples, options.output / "memory.png")
    print(f"{tally}\n")
    print(table([("rows", "driver", "workers and decoders"), *tenths(samples)]))
    print(f"\nall processes, from the middle of the run to its end: {100 * growth(samples):+.1f} %")


def size(process: psutil.Process) -> float:
    """MB of a process, its share of what it shares; 0 where it has ended."""
    try:
        return float(process.memory_full_info().pss) / 1e6
    except psutil.Error:
        return 0.0


def tenth(samples: list[dict[str, float]], number: int) -> list[dict[str, float]]:
    """The samples of a tenth of the run, 0 to 9."""
    return [each for each in samples if number <= 10 * each["rows"] / samples[-1]["rows"] < number + 1]


def tenths(samples: list[dict[str, float]]) -> list[tuple[str, ...]]:
    """Means over tenths of the run, from the second on: in the first, models load."""
    rows: list[tuple[str, ...]] = []
    for some in filter(None, (tenth(samples, number) for number in range(1, 10))):
        means = [f"{statistics.fmean(each[name] for each in some):.0f} MB" for name in ("driver", "workers")]
        rows.append((f"{some[0]['rows']:.0f}-{some[-1]['rows']:.0f}", *means))
    return rows


def growth(samples: list[dict[str, float]]) -> float:
    """By which share the memory of all processes grew from the sixth tenth of the run to the last."""
    begin, end = (
        statistics.fmean(each["driver"] + each["workers"] for each in tenth(samples, number)) for number in (5, 9)
    )
    return end / begin - 1


def draw(samples: list[dict[str, float]], path: Path) -> None:
    """A figure of memory by rows."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    rows = [each["rows"] for each in samples]
    for name, label in (("workers", "workers and decoders"), ("driver", "driver")):
        axes.plot(rows, [each[name] for each in samples], label=label)
    axes.set(xlabel="rows written", ylabel="memory, MB", ylim=(0, None))
    axes.legend()
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
