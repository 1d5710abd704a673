"""Write a folder of results as lmms-eval and vidfold do."""

import json
from pathlib import Path

from vidfold.evaluation.results import BENCHMARKS
from vidfold.evaluation.settings import Settings, written

ONEVISION = "llava-hf/llava-onevision-qwen2-7b-ov-hf"
MVBENCH = BENCHMARKS["MVBench"].tasks

SCORES = {
    "egoschema": {"submission,none": 59.6, "submission_stderr,none": "N/A", "submission_stderr_clt,none": "N/A",
                  "samples": 5031},
    "longvideobench_val_v": {"lvb_acc,none": 0.552, "lvb_acc_stderr,none": "N/A", "samples": 1337},
    "videomme": {"videomme_perception_score,none": 56.6, "videomme_perception_score_stderr_clt,none": 0.0095,
                 "videomme_perception_score_stderr_clustered,none": 0.012, "samples": 2700},
    "mvbench": {" ": " ", "alias": "mvbench"},
} | {
    task: {"mvbench_accuracy,none": 40.0 + place, "mvbench_accuracy_stderr_clt,none": 0.03, "samples": 200}
    for place, task in enumerate(MVBENCH)
}  # fmt: skip
"""Task -> metrics as lmms-eval gives them; MVBench is 49.5."""


def put_run(
    folder: Path,
    results: dict | None = None,
    *,
    date: str = "20260101_120000",
    config: dict | None = None,
    described: dict | None = None,
    row: dict | None = None,
    **arguments: object,
) -> Path:
    """Write the results of a run with its ``vidfold.json``; ``described`` replaces its fields."""
    given = {"pretrained": ONEVISION, "frames": 32, "method": "aot-paper"} | arguments
    settings = Settings.of(**given)
    told = {
        "method": settings.method,
        "retention": settings.retention,
        "tokens": {"before": 6272.0, "after": 627.0, "kept": {"mean": 0.09997, "std": 0.0, "n": 3}},
        "tasks": {"videomme": {"tokens": {"kept": {"mean": 0.1004, "std": 0.0, "n": 1}}, "samples": 1}},
        "pretrained": settings.pretrained,
        "frames": settings.frames,
        "errors": 0,
        "config_hash": settings.hash,
    } | (described or {})
    path = folder / "some__model" / f"{date}_results.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = written(given)
    content = {
        "results": SCORES if results is None else results,
        "configs": {},
        "config": {"model": "vidfold", "model_args": text, "limit": None} | (config or {}),
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    if told["method"] is not None:
        (folder / "vidfold.json").write_text(json.dumps(told), encoding="utf-8")
    if row is not None:
        (folder / "row.json").write_text(json.dumps(row), encoding="utf-8")
    return path
