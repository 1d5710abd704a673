"""Answers per clip in one small file per case, so that any difference and its error can be recomputed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vidfold.app.writing import replacing
from vidfold.tiny.evaluate import Score


def save(path: Path, scores: Mapping[str, Score]) -> None:
    """Write scores of the same clips to a compressed numpy archive; the file is replaced atomically."""
    every = list(scores.values())
    with replacing(path) as file:
        np.savez_compressed(
            file,
            labels=np.array(list(scores)),
            asked=every[0].asked.astype(np.uint8),
            right=np.stack([each.right for each in every]).astype(np.uint8),
            kept=np.stack([each.kept for each in every]),
        )


def load(path: Path) -> dict[str, Score]:
    """The scores of a file, by label; empty if there is no file.

    ``right`` (labels, clips, kinds) and ``asked`` (clips, kinds) count answers and questions, kinds in the order of
    `vidfold.tiny.questions.KINDS`; ``kept`` (labels, clips) are shares of the tokens.
    """
    if not path.exists():
        return {}
    with np.load(path) as file:
        asked = file["asked"].astype(np.int64)
        rows = zip(file["labels"].tolist(), file["right"].astype(np.int64), file["kept"], strict=True)
        return {label: Score(right, asked, kept) for label, right, kept in rows}
