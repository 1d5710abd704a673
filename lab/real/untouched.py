"""AOT against other methods on clips that no choice of AOT looked at: ``python -m lab.real.untouched ARCHIVE``.

The archive is the file with the values of every clip that ``vidfold bench features`` writes. AOT's settings were chosen
on clips whose SHA-256 has an even number in its first eight digits (``benchmarks/aot.md``); the others are left. Errors
are over the sources of the clips.
"""

import sys

import numpy as np

from lab.real.sources import clips
from vidfold.app.tables import markdown_table, percent
from vidfold.bench.real.table import HEADS, mean

MEASURES = ("quantisation_error", "coverage", "transport", "name_patch", "name_frame", "find_video", "find_place")


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m lab.real.untouched ARCHIVE")
    with np.load(sys.argv[1]) as file:
        settings = [tuple(label.split()[:2]) for label in file["labels"].tolist()]
        sources = {clip.sha256: clip.source for clip in clips()}
        names = file["clips"].tolist()
        left = [place for place, name in enumerate(names) if " " not in name and int(name[:8], 16) % 2]
        own = np.array([sources[names[place]] for place in left])
        values = {measure: file[measure][:, left] for measure in MEASURES}
    print(f"{len(left)} clips of {len(set(own))} sources; other methods minus aot, paired")
    for share in sorted({share for method, share in settings if method == "aot"}, key=float, reverse=True):
        first = settings.index(("aot", share))
        rows = [["aot", *(f"{mean(found[first], own)[0]:.3f}" for found in values.values())]]
        for place, (method, asked) in enumerate(settings):
            if asked == share and method != "aot":
                gaps = [mean(found[place] - found[first], own) for found in values.values()]
                rows.append([method, *(f"{gap:+.3f} ± {error:.3f}" for gap, error in gaps)])
        print(f"\n{markdown_table([[percent(float(share)), *map(HEADS.__getitem__, MEASURES)], *rows])}")


if __name__ == "__main__":
    main()
