"""What a terminal needs while work goes on: signs of life, and quiet libraries."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
import warnings
from collections.abc import Iterator

from vidfold import extras
from vidfold.versions import UntestedVersion

PATIENCE = 1.0
"""Seconds after which something slow says what it is doing."""


class Progress:
    """A line on stderr that counts, once counting has taken a while; call it with (done, total)."""

    def __init__(self, doing: str) -> None:
        self._doing, self._next, self._shown = doing, time.monotonic() + PATIENCE, False

    def __call__(self, done: int, total: int) -> None:
        """Say how far it is, a few times a second on a terminal and every five seconds elsewhere."""
        on_terminal = sys.stderr.isatty()
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + (0.2 if on_terminal else 5.0)
            self._shown = True
            _say(f"{self._doing} {done}/{total}" + ("\r" if on_terminal else "\n"))
        if done == total and self._shown and on_terminal:
            _say("\033[K")


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


@contextlib.contextmanager
def patiently(doing: str) -> Iterator[None]:
    """Say on stderr what is being done, if it takes a while."""
    timer = threading.Timer(PATIENCE, lambda: _say(f"{doing} ...\n"))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Without warnings, log lines and progress bars of transformers and the hub; afterwards they are as before.

    The warning of an untested version is still shown.
    """
    transformers_logging = extras.load("transformers", "models").logging
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    hub = logging.getLogger("huggingface_hub")
    hub_level = hub.level
    transformers_logging.set_verbosity(transformers_logging.CRITICAL)
    transformers_logging.disable_progress_bar()
    hub.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("default", UntestedVersion)
            yield
    finally:
        hub.setLevel(hub_level)
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
