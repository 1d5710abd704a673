"""Progress on the terminal, and libraries without their own output."""

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
"""Seconds after which a slow step is announced."""


class Progress:
    """A counting line on stderr, shown for work of more than `PATIENCE` seconds; call it with (done, total)."""

    def __init__(self, doing: str) -> None:
        self._doing, self._next, self._shown = doing, time.monotonic() + PATIENCE, False

    def __call__(self, done: int, total: int) -> None:
        """Show how far it is, five times a second on a terminal and every five seconds elsewhere."""
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
def announced_if_slow(doing: str) -> Iterator[None]:
    """Write to stderr what is being done if it takes more than `PATIENCE` seconds."""
    timer = threading.Timer(PATIENCE, lambda: _say(f"{doing} ...\n"))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Turn off warnings, log lines and progress bars of transformers and the hub; at the end they are restored.

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
