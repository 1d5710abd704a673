"""A film of the small world without an end, rendered on the fly: scenes that change, and objects that come once."""

import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np
from numpy.typing import NDArray

from vidfold.tiny.casting import Appearance, Cast, Object, Shot
from vidfold.tiny.questions import PLACES, TEMPLATES, Question
from vidfold.tiny.scenes import filmed
from vidfold.tiny.textures import MARGIN, SIZE, TEXTURES, bank
from vidfold.tiny.worlds import COLORS, LOOKS, SCENES, SHAPES

BLOCK = 8
"""Frames of shots, and of what they show, are multiples of this."""
SHOTS = 5, 25
"""Blocks of a shot, at least and at most."""
SHOWN = 2
"""Blocks that show an object."""
_BANK = 3  # textures of the final split


@dataclass(frozen=True, eq=False)
class Part:
    """One shot: ``frames`` (F, 96, 96, 3) from number ``first`` on, its scene, and the object that it shows."""

    first: int
    frames: NDArray[np.uint8]
    scene: str
    shown: Object | None

    @property
    def seen(self) -> int:
        """The number of the frame after the last one that shows the object; of the shot where there is none."""
        last = len(self.frames) - 1 if self.shown is None else self.shown.appearances[0].last
        return self.first + last + 1

    @property
    def questions(self) -> list[Question]:
        """Shape, scene and place of the object."""
        if self.shown is None:
            return []
        thing, color = self.shown, self.shown.color
        x, y = (thing.appearances[0].track[0] + thing.size / 2 > SIZE / 2).tolist()
        answers = {"shape": thing.shape, "behind": self.scene, "where": PLACES[2 * int(y) + int(x)]}
        return [Question(kind, TEMPLATES[kind].format(color=color), answer) for kind, answer in answers.items()]


def film(seed: int, frames: int, until: int) -> Iterator[Part]:
    """Shots of at least so many frames. Each of the eight colours comes once, before frame ``until``."""
    rng, look, backgrounds = np.random.default_rng(seed), LOOKS["first"], bank("first", _BANK)
    longest = SHOTS[1] * BLOCK
    due = np.sort(rng.choice(max(until // longest - 1, len(COLORS)), len(COLORS), replace=False))
    waiting, colors = (due * longest).tolist(), [COLORS[number] for number in rng.permutation(len(COLORS))]
    first, scene = 0, ""
    while first < frames:
        length = BLOCK * int(rng.integers(SHOTS[0], SHOTS[1] + 1))
        scene = str(rng.choice([each for each in SCENES if each != scene]))
        shown = None
        if waiting and first >= waiting[0]:
            waiting.pop(0)
            size, begin = int(rng.integers(*look.big)), BLOCK * int(rng.integers(length // BLOCK - SHOWN + 1))
            near, far = (4, SIZE // 2 - size - 4), (SIZE // 2 + 4, SIZE - size - 4)
            corner = np.array([rng.integers(*(near, far)[rng.integers(2)]) for _ in range(2)])
            track = np.repeat(corner[None], SHOWN * BLOCK, 0)
            appearance = Appearance(begin, begin + SHOWN * BLOCK - 1, track)
            shown = Object(colors.pop(), str(rng.choice(SHAPES)), size, (appearance,))
        corner = np.repeat(rng.integers(0, MARGIN + 1, 2)[None], length, 0)
        shot = Shot(scene, 0, length - 1, int(rng.integers(TEXTURES)), corner)
        content = Cast((shot,), () if shown is None else (shown,), ())
        yield Part(first, filmed(rng, content, look, backgrounds, length)[0], scene, shown)
        first += length


def apart(seed: int, frames: int, until: int) -> Iterator[Part]:
    """`film`, rendered by a process of its own, so that the memory of this one is without what rendering takes."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(there, seed, frames, until), daemon=True)
    process.start()
    there.close()
    try:
        while (part := here.recv()) is not None:
            yield part
    finally:
        here.close()
        process.terminate()
        process.join()


def _send(pipe: Connection, seed: int, frames: int, until: int) -> None:
    for part in film(seed, frames, until):
        pipe.send(part)
    pipe.send(None)
