"""``vidfold bench features``: what methods keep of the features of a vision tower, on any videos."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from vidfold.app.progress import Progress
from vidfold.app.writing import read_csv
from vidfold.checks import check_count
from vidfold.cli.console import announced_if_slow, quiet_libraries
from vidfold.cli.options import Commands, command, number


def add(commands: Commands) -> None:
    """Add the command."""
    parser = command(
        commands,
        "features",
        run,
        "Measure what methods keep of a vision tower's features, on any videos, without a language model.",
    )
    parser.add_argument("--videos", required=True, metavar="DIR", help="folder of video files")
    parser.add_argument(
        "--tower",
        required=True,
        metavar="NAME",
        help="CLIP, SigLIP or DINOv2 as transformers loads it: a folder or a hub identifier",
    )
    parser.add_argument("--layer", type=int, default=-2, help="hidden state of the tower that is folded (default: -2)")
    parser.add_argument(
        "--methods",
        "--method",
        nargs="+",
        metavar="NAME",
        default=["all"],
        help="names; all (default) is every method with an exact budget that folds before the language model",
    )
    parser.add_argument(
        "--retention", type=number, nargs="+", default=[0.10], help="shares of the tokens (default: 0.10)"
    )
    parser.add_argument("--frames", type=int, default=16, help="of every video (default: 16)")
    parser.add_argument(
        "--clips", type=int, help="the first so many files, in the order of their SHA-256 (default: all)"
    )
    parser.add_argument(
        "--shots",
        metavar="FILE",
        help="CSV file with columns 'file' and 'cuts', the seconds at which shots end (other files have one shot), and "
        "perhaps 'source': errors are then over sources, not files",
    )
    parser.add_argument("--names", metavar="FILE", help="JSON list of names to give to tokens; needs a side for texts")
    parser.add_argument(
        "--texts", metavar="FILE", help="vectors of the names (.npy), if the tower has no side for texts"
    )
    parser.add_argument(
        "--output", default="out/features", metavar="DIR", help="default: out/features; a run continues"
    )
    parser.add_argument(
        "--cache", metavar="DIR", help="encoded videos, which other runs can use (default: OUTPUT/encoded)"
    )
    parser.add_argument("--device", help="of the tower (default: cpu)")


def run(options: argparse.Namespace) -> None:
    """Encode and measure what is missing, write the numbers, and print the table."""
    from vidfold.bench.quality import settings
    from vidfold.bench.real import study, table
    from vidfold.bench.real.names import Names
    from vidfold.bench.real.tower import Tower
    from vidfold.bench.settings import FULL, exact_methods, outside_methods

    methods = exact_methods() if "all" in options.methods else options.methods
    chosen = settings(methods, options.retention)
    if inside := [each.method for each in chosen if each != FULL and each.method not in outside_methods()]:
        raise ValueError(f"{inside[0]} works inside the language model; features need methods that fold before it")
    if options.texts and not options.names:
        raise ValueError(f"--texts are vectors of names: give --names FILE too, got {options.texts}")
    frames = check_count("frames", options.frames)
    clips = None if options.clips is None else check_count("clips", options.clips)
    output = Path(options.output)
    videos = study.files(Path(options.videos), clips)
    cuts, sources = _listed(options.shots) if options.shots else ({}, {})
    with quiet_libraries():
        with announced_if_slow(f"loading {options.tower}"):
            tower = Tower.load(options.tower, options.layer, options.device)
            names = None
            if options.names:
                names = Names.load(tower, Path(options.names), Path(options.texts) if options.texts else None)
        cache = Path(options.cache) if options.cache else output / "encoded"
        asked = study.Study(tower, videos, chosen, frames, cache, names, cuts, sources)
        readable, skipped = study.encode(asked, Progress("encoding video"))
        for name, reason in skipped.items():
            print(f"skipped {name}: {reason}", file=sys.stderr)
        found = table.rows(readable, study.run(readable, output, Progress("measuring video")))
    print(table.text(found))
    if skipped:
        print(f"\n{len(skipped)} of {len(videos)} files skipped: {', '.join(skipped)}")
    if short := study.short(readable):
        print(f"\n{len(short)} videos have fewer than {frames} frames: {', '.join(short)}")
    print("\nwrote " + ", ".join(map(str, table.write(found, output))))


def _listed(path: str) -> tuple[Mapping[str, Sequence[float]], Mapping[str, str]]:
    """Cuts and sources by file name."""
    try:
        rows = read_csv(path)[1]
        cuts = {row["file"]: tuple(map(float, row["cuts"].split())) for row in rows}
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"--shots {path!r} needs columns 'file' and 'cuts', numbers with spaces between: {error}"
        ) from error
    return cuts, {row["file"]: row["source"] for row in rows if row.get("source")}
