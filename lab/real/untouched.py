"""AOT against other methods on clips that no choice of AOT looked at: ``python -m lab.real.untouched ARCHIVE``.

The archive is the file with the values of every clip that ``vidfold bench features`` writes. AOT's settings were chosen
on clips whose SHA-256 has an even number in its first eight digits (``benchmarks/aot.md``); the others are left.
"""

import sys

import numpy as np

from vidfold.app.tables import markdown_table

MEASURES = ("quantisation_error", "coverage", "name_patch", "find_video", "find_time", "find_place")


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m lab.real.untouched ARCHIVE")
    with np.load(sys.argv[1]) as file:
        labels = [label.rsplit(" ", 1)[0] for label in file["labels"].tolist()]
        clips = file["clips"].tolist()
        left = [place for place, clip in enumerate(clips) if " " not in clip and int(clip[:8], 16) % 2]
        rows = []
        for label in labels:
            cells = []
            for measure in MEASURES:
                gap = (file[measure][labels.index(label)] - file[measure][labels.index("aot 0.1")])[left]
                cells.append(f"{gap.mean():+.3f} ± {gap.std(ddof=1) / np.sqrt(len(gap)):.3f}")
            if not label.startswith(("aot 0.1", "identity")) and not np.isnan(gap).any():
                rows.append([label.split()[0], *cells])
    print(f"{len(left)} clips, minus aot, paired:\n\n{markdown_table([['method', *MEASURES], *rows])}")


if __name__ == "__main__":
    main()
