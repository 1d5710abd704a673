"""Small benchmarks of the embedded model's worlds, in the layout of the four that the papers use.

``python -m tests.evaluation.world CLIPS`` writes them to ``out/world``, where the tasks in ``tasks/`` look for them.
"""

import json
import random
import sys
from itertools import islice
from pathlib import Path

from lab.questions import ANSWERS
from vidfold.tiny import questions, render, seeds
from vidfold.video import write

FOLDER = Path("out/world")
LETTERS = "ABCDE"


def options(question, count, rng):
    """This many answers of the question's kind, with the true one."""
    others = [answer for answer in ANSWERS[question.kind] if answer != question.answer]
    chosen = [question.answer, *rng.sample(others, min(count - 1, len(others)))]
    rng.shuffle(chosen)
    return chosen


def mvbench(name, question, rng):
    return {
        "video": f"{name}.mp4",
        "question": question.text,
        "candidates": options(question, 4, rng),
        "answer": question.answer,
    }


def egoschema(name, question, rng):
    chosen = options(question, 5, rng)
    return {
        "video_idx": name,
        "question": question.text,
        "option": [f"{letter}. {answer}" for letter, answer in zip(LETTERS, chosen, strict=False)],
        "answer": chosen.index(question.answer),
    }


def longvideobench(name, question, rng):
    chosen = options(question, 4, rng)
    return {
        "id": f"{name}_{question.kind}",
        "video_path": f"{name}.mp4",
        "question": question.text,
        "duration_group": 15,
        "question_category": question.kind,
        "correct_choice": chosen.index(question.answer),
        **{f"option{i}": chosen[i] if i < len(chosen) else "N/A" for i in range(5)},
    }


def videomme(name, question, rng):
    chosen = options(question, 4, rng)
    return {
        "videoID": name,
        "question_id": f"{name}-{question.kind}",
        "duration": "short",
        "domain": "World",
        "sub_category": "World",
        "task_type": question.kind,
        "question": question.text,
        "options": [f"{letter}. {answer}." for letter, answer in zip(LETTERS, chosen, strict=False)],
        "answer": LETTERS[chosen.index(question.answer)],
    }


BENCHMARKS = {
    mvbench: ("next", "behind"),
    egoschema: ("scene", "shape"),
    longvideobench: ("tiny", "next"),
    videomme: ("scene", "shape", "count"),
}
"""The questions that each asks about every clip."""
ASKED = {kind for kinds in BENCHMARKS.values() for kind in kinds}
FRAMES = 8


def clips(count):
    """The first clips of the search split that have all these questions."""
    found = (render(seed, FRAMES) for seed in seeds("search", 100 * count))
    return list(islice((clip for clip in found if {one.kind for one in questions(clip)} >= ASKED), count))


def build(count, folder=FOLDER):
    """Write this many clips, and a file of questions for each benchmark."""
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    documents = {benchmark: [] for benchmark in BENCHMARKS}
    for number, clip in enumerate(clips(count)):
        name, rng = f"clip{number}", random.Random(clip.seed)
        path = folder / "clips" / f"{name}.mp4"
        if not path.exists():
            write(path, clip.frames, fps=2, scale=4, hold=12)
        asked = {question.kind: question for question in questions(clip)}
        for benchmark, kinds in BENCHMARKS.items():
            documents[benchmark] += [benchmark(name, asked[kind], rng) for kind in kinds]
    for benchmark, found in documents.items():
        lines = "".join(json.dumps(document) + "\n" for document in found)
        (folder / f"{benchmark.__name__}.jsonl").write_text(lines)


if __name__ == "__main__":
    build(int(sys.argv[1]))
