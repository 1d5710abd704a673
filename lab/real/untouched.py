"""AOT against other methods on clips that no choice of AOT looked at: ``python -m lab.real.untouched ARCHIVE``.

The archive is the file with the values of every clip that ``vidfold bench features`` writes. AOT's settings were chosen
on clips whose SHA-256 has an even number in its first eight digits (``benchmarks/aot.md``); the others are left. Errors
are over the sources of the clips.
"""

import sys

import numpy as np

from lab.real.sources import clips
from vidfold.app.tables import markdown_table
from vidfold.bench.real.table import mean

MEASURES = ("quantisation_error", "coverage", "name_patch", "find_video", "find_time", "find_place")


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m lab.real.untouched ARCHIVE")
    with np.load(sys.argv[1]) as file:
        labels = [label.rsplit(" ", 1)[0] for label in file["labels"].tolist()]
        sources = {clip.sha256: clip.source for clip in clips()}
        names = file["clips"].tolist()
        left = [place for place, name in enumerate(names) if " " not in name and int(name[:8], 16) % 2]
        own = np.array([sources[names[place]] for place in left])
        rows = []
        for label in labels:
            cells = []
            for measure in MEASURES:
                gap = (file[measure][labels.index(label)] - file[measure][labels.index("aot 0.1")])[left]
                cells.append("{:+.3f} ± {:.3f}".format(*mean(gap, own)))
            if not label.startswith(("aot 0.1", "identity")) and not np.isnan(gap).any():
                rows.append([label.split()[0], *cells])
    print(f"{len(left)} clips of {len(set(own))} sources, minus aot, paired:\n")
    print(markdown_table([["method", *MEASURES], *rows]))


if __name__ == "__main__":
    main()
