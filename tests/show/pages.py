"""Folds to be shown, and the data of a page as its script reads it."""

import base64
import gzip
import json
import re

import numpy as np
import torch

from tests.conftest import make_video
from vidfold.reducers import get
from vidfold.show.page import Film, Page, View
from vidfold.show.trace import Trace


def trace(method: str = "aot", frames: int = 6, grid: tuple[int, int] = (9, 8), **settings) -> Trace:
    return get(method, **settings)(make_video(frames, grid), weights=True).trace


def page(*views: View, frames: int = 6, size: tuple[int, int] = (24, 40), title: str = "clip.mp4", **settings) -> Page:
    pixels = np.random.default_rng(0).integers(0, 255, (frames, *size, 3), np.uint8)
    views = views or (View("aot", "aot(retention=0.1)", 0.1, trace(frames=frames)),)
    return Page(Film(title, pixels, np.arange(frames) / 2), views, **settings)


def record(made: str) -> dict:
    """The data of a page."""
    (text,) = re.findall(r'<script id="data"[^>]*>([^<]*)</script>', made)
    return json.loads(gzip.decompress(base64.b64decode(text)))


def unpacked(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def matrix(view: dict, frames: int, cells: int, fine: int) -> torch.Tensor:
    """The weights that the script of a page reads, (K, F * N)."""
    token, source = unpacked(view["token"], "<u4"), unpacked(view["steps"], "<u4").cumsum()
    share = np.exp(unpacked(view["share"], "<u2") / -fine)
    found = torch.zeros(len(unpacked(view["places"], "<u4")), frames * cells)
    found[token.astype(int), source.astype(int)] = torch.tensor(share, dtype=torch.float32)
    return found
