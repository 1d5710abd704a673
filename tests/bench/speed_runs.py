"""Results with given samples, and a small model to measure."""

import json
from itertools import chain
from pathlib import Path

from vidfold.app import random_models
from vidfold.bench.speed import Results, Subject
from vidfold.bench.speed.results import Case, Way

PROVENANCE = dict.fromkeys(
    ("vidfold", "code", "torch", "transformers", "python", "system", "attention", "weights", "date"), "x"
) | {"dtype": "bfloat16", "device": "cpu", "processor": "a machine", "threads": "2", "seed": "0"}


def way(name: str, tokens: int, **milliseconds: list[float]) -> Way:
    return Way(
        name=name,
        tokens=(tokens,),
        cache_positions=tokens + 65,
        cache_bytes=1000 * tokens,
        milliseconds={"step": [10.0, 12.0, 11.0]} | milliseconds,
        memory={"prefill": 2_000_000},
        operations={"prefill": 4e9},
    )


def measured(frames: int = 4, *, authors: bool = True) -> Case:
    """Two samples of the tower, and three of every other stage."""
    others = {"splice": [1.0, 1.0, 1.5]}
    ways = [
        way("unfolded", 784, tower=[500.0, 400.0], prefill=[2000.0, 2200.0, 2100.0]),
        way("folded", 78, tower=[550.0, 425.0], fold=[30.0, 29.0, 31.0], **others, prefill=[200.0, 250.0, 225.0]),
        way("oracle", 78, **others, prefill=[210.0, 211.0, 209.0]),
        way("authors", 80, tower=[1300.0, 1000.0], fold=[300.0, 310.0, 290.0], **others, prefill=[220.0, 221.0, 219.0]),
    ]
    ways[0].memory["tower"], ways[1].memory["tower"], ways[3].memory["tower"] = 1_000_000, 2_000_000, 90_000_000
    ways[0].operations["tower"] = 9e11
    ways = ways if authors else ways[:3]
    return Case(frames=frames, batch=1, tokens=784, text=65, read_ms=50.0, ways=ways, notes=[])


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
    """Results as they are written today, or as earlier versions wrote them, with the samples of the tower apart."""
    data = json.loads(text)
    for case in data["cases"]:
        for each in case["ways"]:
            each["tokens"] = tuple(each["tokens"])
            if "tower" in each:
                tower = each.pop("tower")
                each["operations"] = {stage: work["operations"] for stage, work in each.pop("work").items()}
                if tower != "plain" or each["name"] == "unfolded":
                    groups = [group for group in chain(*case["passes"]) if tower in group["milliseconds"]]
                    each["milliseconds"]["tower"] = [g["milliseconds"][tower] / g["frames"] for g in groups]
        case["ways"] = [Way(**each) for each in case["ways"]]
        for name in ("passes", "tower_memory", "tower_work", "papers_prefill"):
            case.pop(name, None)
    return Results(**data | {"cases": [Case(**case) for case in data["cases"]]})
