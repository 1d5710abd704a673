"""A small drawing of a fold for notebooks: HTML with an SVG and no script, which every viewer shows."""

import html
from itertools import groupby

import numpy as np

from vidfold.show.trace import Role, Trace

MOST = 16
"""Frames that are drawn at most; of a longer video every so many."""
_COLORS = {
    Role.TOKEN: ("#0072b2", 1.0, "a token stands here"),
    Role.SAME_FRAME: ("#e69f00", 0.45, "went into its own frame"),
    Role.EARLIER: ("#009e73", 0.4, "went into an earlier frame"),
    Role.LATER: ("#009e73", 0.7, "went into a later frame"),
    Role.DROPPED: ("#888888", 0.25, "dropped"),
    Role.UNKNOWN: ("#888888", 0.25, "no token"),
}


def drawing(trace: Trace) -> str:
    """A fold as a strip of frames: what happened to each cell, and the tokens of every frame below."""
    height, width = trace.grid
    chosen = np.unique(np.linspace(0, trace.frames - 1, min(MOST, trace.frames)).round().astype(int))
    roles = trace.roles.reshape(trace.frames, height, width)[chosen]
    paths: dict[int, list[str]] = {}
    for place, frame in enumerate(roles):
        for row, line in enumerate(frame.tolist()):
            column = 0
            for role, run in groupby(line):
                long = len(list(run))
                paths.setdefault(role, []).append(f"M{place * (width + 1) + column} {row}h{long}v1h-{long}z")
                column += long
    size = height / 5
    parts = [
        f'<path d="{"".join(paths[role])}" fill="{color}" fill-opacity="{strength}"/>'
        for role, (color, strength, _) in _COLORS.items()
        if role in paths
    ]
    parts += [
        f'<text x="{place * (width + 1) + width / 2}" y="{height + 1.1 * size}" font-size="{size}" '
        f'text-anchor="middle" fill="currentColor">{count}</text>'
        for place, count in enumerate(trace.counts[chosen].tolist())
    ]
    told = _told(trace, len(chosen))
    names = " · ".join(
        f'<span style="color:{color}">■</span> {name}' for role, (color, _, name) in _COLORS.items() if role in paths
    )
    box = f"0 0 {len(chosen) * (width + 1) - 1} {height + 1.4 * size}"
    svg = f'<svg viewBox="{box}" style="max-width:900px" role="img" aria-label="{html.escape(told)}">'
    return f"<div><p>{html.escape(told)}</p>{svg}{''.join(parts)}</svg><p><small>{names}</small></p></div>"


def _told(trace: Trace, drawn: int) -> str:
    count = len(trace.places)
    frames = f"{trace.frames} frames" if drawn == trace.frames else f"{drawn} of {trace.frames} frames drawn"
    return f"{count} of {trace.full} tokens ({100 * count / trace.full:.1f} %), {frames}, tokens of each below"
