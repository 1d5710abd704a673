"""The two kinds of quality bench: all measures on any clips, and suites of right answers."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from vidfold import extras, tiny
from vidfold.app.loading import VideoModel, load
from vidfold.app.writing import write_text
from vidfold.bench import agreement, features, plots, reading, report
from vidfold.bench.clips import Scenes, Source
from vidfold.bench.results import Bench, Plan
from vidfold.bench.run import CLIPS, Tell, Watch, run
from vidfold.bench.settings import FULL, Setting, outside_methods
from vidfold.checks import check_count
from vidfold.reducers import METHODS
from vidfold.reducers.inner import InnerReducer
from vidfold.tiny.worlds import WORLDS

ALL = "all"
"""Stands for all methods; in a suite for those that fold before the language model, AOT first."""
RETENTIONS = (0.50, 0.25, 0.20, 0.15, 0.10, 0.05)
FRAMES = (8, 16, 32)
SUITE_CLIPS = 200
"""Clips per world of a suite."""
SUITES = {"search": WORLDS[:1], "confirm": WORLDS, "final": WORLDS}
"""Name of a suite, and of its split -> worlds of its clips. Nothing is ever tuned on the second world.

Settings are chosen on "search", a choice is checked on "confirm" ("search" again, with more clips, if it does not
hold), and "final" is run once, after all choices."""


def quality_plan(
    settings: Sequence[Setting],
    sources: Sequence[Source],
    models: Sequence[VideoModel],
    *,
    seed: int = 0,
    max_new_tokens: int = 16,
) -> Plan:
    """All measures: answers if the true ones are known, agreement with the unfolded model, and features.

    Every model gets all clips. ``max_new_tokens`` is the maximum length of the answers that models are compared on.
    """
    check_count("seed", seed, least=0)
    check_count("max_new_tokens", max_new_tokens)
    benches = tuple(Bench(loaded, source) for loaded in models for source in sources)
    measures = (partial(agreement.measure, max_new_tokens=max_new_tokens), features.measure)
    return Plan(tuple(settings), benches, measures, "quality.csv", seed=seed, max_new_tokens=max_new_tokens)


def suite_plan(
    suite: str,
    methods: Sequence[str],
    retentions: Sequence[float] = RETENTIONS,
    clips: int = SUITE_CLIPS,
    frames: tuple[int, ...] = FRAMES,
    *,
    device: str | None = None,
    models: Mapping[str, VideoModel] | None = None,
) -> Plan:
    """Right answers of the embedded model and its twin; methods are compared with the first one.

    Args:
        suite: a name in `SUITES`.
        methods: names of the registry, or "all".
        retentions: shares of the tokens.
        clips: clips per world.
        frames: lengths of the clips, in turn.
        device: device of the models; None: a GPU if there is one.
        models: loaded models to use instead of the shipped ones, by their names "tiny" and "tiny-whole".

    Raises:
        ValueError: an unknown suite or method, a method inside the language model, numbers out of range, or missing
            weights.
    """
    if suite not in SUITES:
        raise ValueError(f"unknown suite {suite!r}; there are: {', '.join(SUITES)}")
    names = outside_methods() if ALL in methods else methods
    if inside := [name for name in names if issubclass(METHODS.get(name, object), InnerReducer)]:
        raise ValueError(f"{inside[0]} works inside the language model; a suite needs methods that fold before it")
    chosen = settings(names, sorted({*retentions}, reverse=True))
    if len(chosen) == 1:
        raise ValueError(f"a suite compares methods, got {list(methods)}; all tokens are always measured")
    sources = [Scenes(clips, split=suite, world=world, frames=frames) for world in SUITES[suite]]
    for name, read in tiny.EMBEDDED.items() if models is None else ():
        if not (folder := tiny.path(read)).joinpath("config.json").is_file():
            raise ValueError(f"the model {name!r}, which a suite also needs, has no weights in {str(folder)!r}")
    loaded = {name: load(name, device=device) for name in tiny.EMBEDDED} if models is None else models
    benches = tuple(Bench(loaded[name], source) for name in tiny.EMBEDDED for source in sources)
    return Plan(chosen, benches, (reading.measure,), "suite.csv", suite)


def settings(methods: Sequence[str], retentions: Sequence[float]) -> tuple[Setting, ...]:
    """All tokens, then every method at every retention, each once.

    Raises:
        ValueError: an unknown method, a retention out of range, or none.
    """
    names = sorted(METHODS) if ALL in methods else methods
    if not names or not retentions:
        raise ValueError(f"methods and retentions must not be empty, got {list(methods)} and {list(retentions)}")
    chosen = (Setting(name, share) for share in retentions for name in names)
    return tuple(dict.fromkeys([FULL, *(each for each in chosen if each.method != FULL.method)]))


def write(plan: Plan, output: str | Path, *, watch: Watch | None = None, tell: Tell | None = None) -> str:
    """Measure what is missing with `vidfold.bench.run.run`, and write table, Markdown and pictures to a folder.

    Returns:
        The table for a terminal, and the files written.

    Raises:
        ValueError, OSError: as `vidfold.bench.run.run` does.
        MissingExtra: matplotlib is not installed; nothing was measured.
    """
    extras.load("matplotlib", "bench")
    results, rows = run(plan, output, watch=watch, tell=tell), Path(output) / plan.file
    page = rows.with_suffix(".md")
    write_text(page, report.page(results))
    files = [rows, rows.with_name(CLIPS), page, *plots.draw(results, rows.parent)]
    return "\n\n".join([report.overview(results), "wrote " + ", ".join(map(str, files))])
