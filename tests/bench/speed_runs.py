"""Results with given samples, and a small model to measure."""

import json
from itertools import chain
from pathlib import Path

from vidfold.bench import random_models
from vidfold.bench.speed import Results, Subject
from vidfold.bench.speed.results import Case, Group, Way

PROVENANCE = dict.fromkeys(
    ("vidfold", "code", "torch", "transformers", "python", "system", "attention", "weights", "date"), "x"
) | {"dtype": "bfloat16", "device": "cpu", "processor": "a machine", "threads": "2", "seed": "0"}


def way(name: str, tower: str, tokens: int, **milliseconds: list[float]) -> Way:
    return Way(
        name=name,
        tower=tower,
        tokens=(tokens,),
        cache_positions=tokens + 65,
        cache_bytes=1000 * tokens,
        milliseconds={"step": [10.0, 12.0, 11.0]} | milliseconds,
        memory={"prefill": 2_000_000},
        operations={"prefill": 4 * 10**9},
    )


def measured(frames: int = 4, authors: tuple[float | None, float | None] = (2600.0, 2000.0)) -> Case:
    """Two groups of frames, one pass; ``authors``: milliseconds of their tower per group, None if not run."""
    pairs = [(1000.0, 1100.0), (800.0, 850.0)]
    groups = [
        Group(frames // 2, {"plain": plain, "tapped": tapped} | ({} if slow is None else {"authors": slow}))
        for (plain, tapped), slow in zip(pairs, authors, strict=True)
    ]
    return Case(
        frames=frames,
        batch=1,
        tokens=784,
        text=65,
        read_ms=50.0,
        groups=groups,
        tower_memory={"plain": 1_000_000, "tapped": 2_000_000, "authors": 90_000_000},
        tower_operations={"plain": 36 * 10**11},
        ways=[
            way("unfolded", "plain", 784, prefill=[2000.0, 2200.0, 2100.0]),
            way("folded", "tapped", 78, fold=[30.0, 29.0, 31.0], splice=[1.0, 1.0, 1.5], prefill=[200.0, 250.0, 225.0]),
            way("oracle", "plain", 78, splice=[1.0, 1.0, 1.5], prefill=[210.0, 211.0, 209.0]),
            way(
                "authors",
                "authors",
                80,
                fold=[300.0, 310.0, 290.0],
                splice=[1.0, 1.0, 1.5],
                prefill=[220.0, 221.0, 219.0],
            ),
        ],
        notes=[],
    )


def results(*cases: Case) -> Results:
    return Results(
        model={"name": "a model", "random_weights": True, "parameters": 894_000_000},
        method={"name": "aot-paper", "retention": 0.1},
        title="aot-paper(retention=0.1)",
        video="a video",
        provenance=PROVENANCE,
        memory_source="somewhere",
        group=2,
        cases=list(cases),
    )


def subject(model) -> Subject:
    """A small model with random weights and random pixels."""
    return Subject(
        name="small",
        model=model,
        random=True,
        inputs=lambda frames, batch: random_models.inputs(model, len(frames), batch, text=12),
    )


def read(path: Path) -> Results:
    """The results in a ``speed.json``."""
    return from_json(path.read_text(encoding="utf-8"))


def from_json(text: str) -> Results:
    """Results as they are written today, or as earlier versions wrote them, pass by pass and with bytes moved."""
    data = json.loads(text)
    for case in data["cases"]:
        case.pop("papers_prefill", None)
        groups = chain(*case.pop("passes")) if "passes" in case else case["groups"]
        case["groups"] = [Group(**group) for group in groups]
        if "tower_work" in case:
            case["tower_operations"] = {kind: work["operations"] for kind, work in case.pop("tower_work").items()}
        for way in case["ways"]:
            way["tokens"] = tuple(way["tokens"])
            if "work" in way:
                way["operations"] = {stage: work["operations"] for stage, work in way.pop("work").items()}
        case["ways"] = [Way(**way) for way in case["ways"]]
    return Results(**data | {"cases": [Case(**case) for case in data["cases"]]})
