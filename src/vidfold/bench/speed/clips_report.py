"""Real clips with and without a tower method, as text."""

import statistics
from collections.abc import Sequence

from vidfold.app.tables import described, table
from vidfold.bench.speed.clips import METHOD, PART, STAGES, TOWER, WAYS, Clip
from vidfold.reducers import Reducer
from vidfold.tower import TowerMethod


def overview(clips: Sequence[Clip], reducer: Reducer, tower: TowerMethod) -> str:
    """Means over clips, and every clip."""
    names = ("unfolded", reducer.name, "oracle", f"{reducer.name}, tower {tower.name}")

    def mean(values: Sequence[float]) -> float:
        return statistics.mean(values)

    rows: list[tuple[str, ...]] = [("", *names)]
    for stage in STAGES:
        each = ([clip.milliseconds[way][stage] for clip in clips] for way in WAYS)
        rows.append((stage, *(f"{mean(values) / 1000:.2f} s" for values in each)))
    rows.append(("first token", *(f"{mean([clip.first_token(way) for clip in clips]) / 1000:.2f} s" for way in WAYS)))
    ratios = [[clip.over_oracle(way) for clip in clips] for way in WAYS]
    rows.append(("  over the oracle's", *(f"{mean(each):.2f} ({min(each):.2f}–{max(each):.2f})" for each in ratios)))
    counts = ([clip.operations[way] for clip in clips] for way in WAYS)
    rows.append(("work of the tower", *(f"{mean(each) / 1e12:.2f} TFLOP" for each in counts)))
    papers = ([clip.papers[way] for clip in clips] for way in WAYS)
    rows.append(("work, papers' way", *(f"{mean(each) / 1e12:.2f} T" for each in papers)))
    shown: list[tuple[str, ...]] = [
        ("clip", "frames", "computed", "tower", "with it", "ratio", "first token / oracle's")
    ]
    for clip in clips:
        stock, own = clip.milliseconds[METHOD][TOWER], clip.milliseconds[PART][TOWER]
        shown.append(
            (clip.name, str(clip.frames), f"{100 * clip.share:.0f} %", f"{stock / 1000:.2f} s", f"{own / 1000:.2f} s",
             f"{own / stock:.2f}", f"{clip.over_oracle(PART):.2f}")
        )  # fmt: skip
    return "\n\n".join((f"{described(reducer)}, {described(tower)}; means over {len(clips)} clips", table(rows),
                        table(shown), LEGEND))  # fmt: skip


LEGEND = """\
Oracle: as many tokens, evenly spaced, chosen at no cost after the whole tower: a lower bound for every method that
folds after it. Each time is one sample of each clip. Both towers run one right after the other, in turns of their
order. Ratios are means over clips, with the least and the largest. Computed: units of the tower, those of checked
frames too. Work: operations of matrix products as torch counts them, two a multiply-add. Papers' way: tower and
prefill by L (4 n d^2 + 2 n^2 d + 2 n d m), one operation a multiply-add. Reading and preparing the video is not
counted."""
