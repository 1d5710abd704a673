"""Progress on the terminal."""

import sys
import time

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
            say(f"{self._doing} {done}/{total}" + ("\r" if on_terminal else "\n"))
        if done == total and self._shown and on_terminal:
            say("\033[K")


def say(text: str) -> None:
    """Write to stderr now."""
    sys.stderr.write(text)
    sys.stderr.flush()
