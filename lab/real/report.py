"""Tables and pictures of the study: ``python -m lab.real.report --features FILE... --output benchmarks/real``.

The files are ``features.csv`` of ``vidfold bench features``, that with all clips as ``--all``. ``--worlds`` is the file
of right answers in the synthetic worlds, ``--answers`` that of ``lab.photos.measure``, ``--objects`` that of
``lab.real.objects``.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.real import pictures
from lab.real.numbers import AT, LOWER, MeanBy, means, spearman, worlds
from vidfold.app.tables import markdown_table, percent
from vidfold.app.writing import Row, read_csv, write_text
from vidfold.bench.real.table import HEADS
from vidfold.replacing import replacing

OVERVIEW = ("error", "coverage", "transport", "patch name", "frame name", "finds video", "joined shots", "objects")
"""Measures of the first table."""
LESS = tuple(HEADS[measure].removesuffix(" ↓") for measure in LOWER)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", nargs="+", type=Path, required=True)
    parser.add_argument("--all", type=Path)
    parser.add_argument("--objects", type=Path)
    parser.add_argument("--worlds", type=Path, default=Path("benchmarks/aot/suite.csv"))
    parser.add_argument("--answers", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    rows = [row for path in options.features for row in read_csv(path)[1]]
    towers = dict.fromkeys((row["tower"], row["layer"]) for row in rows)
    by_tower = {name: [row for row in rows if (row["tower"], row["layer"]) == name] for name in towers}
    main_rows = by_tower[next(iter(by_tower))]
    answers = {"synthetic worlds": worlds(options.worlds)}
    for row in read_csv(options.answers)[1] if options.answers else ():
        own = answers.setdefault(f"photographs, reader {row['reader']}", {})
        own[row["method"], row["retention"]] = float(row["mean"])
    measured = {head.removesuffix(" ↓"): means(main_rows, measure) for measure, head in HEADS.items()}
    if options.objects is not None:
        measured["objects"] = {
            (row["method"], row["retention"]): float(row["mean"]) for row in read_csv(options.objects)[1]
        }
    parts = [f"## {percent(float(AT))} of the tokens\n\n{overview(measured, answers)}"]
    if options.all is not None:
        parts.append(f"## All clips\n\n{wide(read_csv(options.all)[1])}")
    if options.objects is not None:
        parts.append(f"## Objects in photographs that are named right\n\n{objects(read_csv(options.objects)[1])}")
    parts += [f"## {tower}, layer {layer}\n\n{tables(own)}" for (tower, layer), own in by_tower.items()]
    parts.append(f"## Order of the methods in other feature spaces\n\n{agreement(by_tower)}")
    parts += [
        f"## What predicts right answers: {name}\n\n{predicted(measured, found)}" for name, found in answers.items()
    ]
    write_text(options.output / "tables.md", "# Tables of the study on real videos\n\n" + "\n\n".join(parts) + "\n")
    drawn = {
        "measures": pictures.over_retention(main_rows),
        "answers": pictures.beside_answers(main_rows, dict(list(answers.items())[:2])),
        "towers": pictures.in_towers(by_tower),
    }
    for name, figure in drawn.items():
        with replacing(options.output / f"{name}.png") as picture:
            figure.savefig(picture, format="png", dpi=110)


def tables(rows: Sequence[Row]) -> str:
    """A table for every measure: methods down, retentions across; paired differences to the first method below it."""
    shares = sorted({row["retention"] for row in rows if row["method"] != "identity"}, key=float, reverse=True)
    parts = []
    for measure, head in HEADS.items():
        own = {(row["method"], row["retention"]): row for row in rows if row["measure"] == measure}
        if not own:
            continue
        methods = dict.fromkeys(method for method, _ in own if method != "identity")
        sign = 1 if measure in LOWER else -1
        order = sorted(methods, key=lambda name: sign * float(own[name, AT if AT in shares else shares[0]]["mean"]))
        full, clips = own.get(("identity", "1")), next(iter(own.values()))["clips"]
        body = [[name, *(_with_gap(own.get((name, share))) for share in shares)] for name in order]
        every = f"; all tokens: {float(full['mean']):.3f}" if full else ""
        better = "; lower is better" if measure in LOWER else ""
        title = f"**{head.removesuffix(' ↓')}** (`{measure}`, {clips} clips{every}{better})"
        parts.append(f"{title}\n\n" + markdown_table([["method", *map(percent, map(float, shares))], *body]))
    return "\n\n".join(parts)


def overview(measured: Mapping[str, MeanBy], answers: Mapping[str, MeanBy]) -> str:
    """A row for every method, with the measures of `OVERVIEW` and right answers in %."""
    columns = {head: measured[head] for head in OVERVIEW if measured.get(head)}
    base = next(iter(columns.values()))
    order = sorted((key for key in base if key[1] in (AT, "1")), key=base.__getitem__)
    head = ["method", *(f"{name} ↓" if name in LESS else name for name in columns), *answers]
    body = [
        [
            key[0],
            *(_told(found.get(key), "{:.3f}") for found in columns.values()),
            *(_told(found.get(key), "{:.1%}") for found in answers.values()),
        ]
        for key in order
    ]
    return markdown_table([head, *body])


def wide(rows: Sequence[Row]) -> str:
    """A table of the means of every measure at `AT`, and one of the paired differences to the first method."""
    own = {
        (row["method"], row["measure"]): row for row in rows if row["retention"] == AT or row["method"] == "identity"
    }
    kinds = [measure for measure in HEADS if any(measure == each for _, each in own)]
    order = sorted(dict.fromkeys(name for name, _ in own), key=lambda name: float(own[name, kinds[0]]["mean"]))
    head = ["method", *map(HEADS.__getitem__, kinds)]
    body = [[name, *(f"{float(own[name, each]['mean']):.3f}" for each in kinds)] for name in order]
    clips = ["clips", *(own[order[0], each]["clips"] for each in kinds)]
    gaps = [[name, *(_gap(own[name, each]) for each in kinds)] for name in order if name not in ("identity", "aot")]
    return f"{markdown_table([head, *body, clips])}\n\nMinus aot, paired:\n\n{markdown_table([head, *gaps])}"


def objects(rows: Sequence[Row]) -> str:
    """Share of the cells of objects that the nearest token names right, and the paired difference to all tokens."""
    shares = sorted({row["retention"] for row in rows if row["method"] != "identity"}, key=float, reverse=True)
    own = {(row["method"], row["retention"]): row for row in rows}
    order = sorted(
        dict.fromkeys(name for name, share in own if share == AT), key=lambda name: -float(own[name, AT]["mean"])
    )
    body = [
        [name, *(f"{float(own[name, share]['mean']):.3f} ({_gap(own[name, share])})" for share in shares)]
        for name in order
    ]
    full = own["identity", "1"]
    return f"{full['photographs']} photographs; all tokens: {float(full['mean']):.3f}\n\n" + markdown_table(
        [["method", *map(percent, map(float, shares))], *body]
    )


def _gap(row: Row) -> str:
    return f"{float(row['gap']):+.3f}" + (f" ± {float(row['gap_error']):.3f}" if row["gap_error"] else "")


def agreement(by_tower: Mapping[tuple[str, str], Sequence[Row]]) -> str:
    """Spearman's rank correlation of the methods' order in every feature space with that in the first."""
    (first, base), *others = by_tower.items()
    columns = [
        (f"{tower}, layer {layer}, {percent(float(share))}", rows, share)
        for (tower, layer), rows in others
        for share in (AT, "0.02")
        if any(row["retention"] == share for row in rows)
    ]
    body = []
    for measure in HEADS:
        one = means(base, measure)
        found = [_spearman(one, means(rows, measure), share) for _, rows, share in columns]
        if any(found):
            body.append([HEADS[measure].removesuffix(" ↓"), *found])
    table = markdown_table([["measure", *(head for head, *_ in columns)], *body])
    return f"With {first[0]}, layer {first[1]}:\n\n{table}"


def predicted(measured: Mapping[str, MeanBy], answers: MeanBy) -> str:
    """Spearman's rank correlation over methods of every measure with right answers; 1 if both order them alike."""
    every = {key for found in measured.values() for key in found}
    shares = sorted({share for _, share in every & answers.keys()} - {"1"}, key=float, reverse=True)
    body = []
    for head, found in measured.items():
        signed = {key: -value if head in LESS else value for key, value in found.items()}
        body.append([head, *(_spearman(signed, answers, share) for share in shares)])
    count = len({method for method, _ in every & answers.keys()} - {"identity"})
    return f"{count} methods.\n\n" + markdown_table([["measure", *map(percent, map(float, shares))], *body])


def _told(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def _with_gap(row: Row | None) -> str:
    """A mean, and its paired difference to the first method."""
    if row is None:
        return "-"
    mean = f"{float(row['mean']):.3f}"
    return mean if row["method"] == "aot" else f"{mean} ({_gap(row)})"


def _spearman(one: MeanBy, other: MeanBy, share: str) -> str:
    names = sorted({name for name, each in one if each == share} & {name for name, each in other if each == share})
    if len(names) < 3:
        return ""
    return f"{spearman(*([values[name, share] for name in names] for values in (one, other))):.2f}"


if __name__ == "__main__":
    main()
