"""Generate a video file to read when none is given."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vidfold.video import write

HEIGHT, WIDTH, SCALE = 45, 80, 8
FPS, HOLD = 2.0, 12


def film(path: Path, frames: int) -> str:
    """Write a clip of drifting coloured waves with ``frames`` different frames; returns a description."""
    time = np.arange(frames)[:, None, None, None]
    row = np.linspace(0, 6, HEIGHT)[None, :, None, None]
    column = np.linspace(0, 9, WIDTH)[None, None, :, None]
    phase = np.array([0.0, 2.1, 4.2])
    waves = np.sin(row + 0.3 * time + phase) + np.cos(column - 0.2 * time + 2 * phase)
    write(path, np.round(127.5 + 63 * waves).astype(np.uint8), fps=FPS, scale=SCALE, hold=HOLD)
    size = f"{WIDTH * SCALE} x {HEIGHT * SCALE}"
    return f"a generated clip of {frames / FPS:.0f} s, {size} at {FPS * HOLD:.0f} frames per second, h264"
