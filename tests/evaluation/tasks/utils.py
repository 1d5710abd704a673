"""How lmms-eval reads the small benchmarks: documents like the real ones, with questions in the embedded model's words.

The embedded model knows no letters, so options are compared as words.
"""

from pathlib import Path

CLIPS = Path("out/world/clips")


def _text(doc):
    return doc["question"]


def _clip(name):
    return [str(CLIPS / name)]


def mvbench_visual(doc):
    return _clip(doc["video"])


def mvbench_results(doc, results):
    return {"accuracy": float(results[0] == doc["answer"])}


def egoschema_visual(doc):
    return _clip(f"{doc['video_idx']}.mp4")


def egoschema_choice(doc):
    return [option.split(".")[1].strip() for option in doc["option"]]


def egoschema_results(doc, results):
    return {"accuracy": float(results[0] == egoschema_choice(doc)[doc["answer"]])}


def egoschema_likelihood_results(doc, results):
    losses = [loss for loss, _ in results]
    return {"accuracy": float(losses.index(min(losses)) == doc["answer"])}


def longvideobench_visual(doc):
    return _clip(doc["video_path"])


def longvideobench_results(doc, results):
    return {"accuracy": float(results[0] == doc[f"option{doc['correct_choice']}"])}


def videomme_visual(doc):
    return _clip(f"{doc['videoID']}.mp4")


def videomme_results(doc, results):
    right = next(option for option in doc["options"] if option[0] == doc["answer"])
    return {"accuracy": float(results[0] == right[3:].removesuffix("."))}


mvbench_text = egoschema_text = longvideobench_text = videomme_text = _text
