"""Progress on the terminal."""

import sys
import time

PATIENCE = 1.0
"""Seconds after which a slow step is announced."""


class Progress:
    """A counting line on stderr, shown for work of more than `PATIENCE` seconds; call it with (done, total).

    With ``tells_time`` it says how long the rest will take at the speed so far.
    """

    def __init__(self, doing: str, *, tells_time: bool = False) -> None:
        self._doing, self._next, self._shown = doing, time.monotonic() + PATIENCE, False
        self._tells_time = tells_time
        self._began: tuple[float, int] | None = None  # when, and how much was done

    def __call__(self, done: int, total: int) -> None:
        """Show how far it is, five times a second on a terminal and every five seconds elsewhere."""
        on_terminal = sys.stderr.isatty()
        self._began = self._began or (time.monotonic(), done)
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + (0.2 if on_terminal else 5.0)
            self._shown = True
            say(f"{self._doing} {done}/{total}{self._left(done, total)}" + ("\r" if on_terminal else "\n"))
        if done == total and self._shown and on_terminal:
            say("\033[K")

    def _left(self, done: int, total: int) -> str:
        """The time that is left, in words."""
        assert self._began is not None
        since, before = self._began
        if not self._tells_time or done == before:
            return ""
        seconds = round((total - done) * (time.monotonic() - since) / (done - before))
        return f", {seconds // 60} min {seconds % 60} s left" if seconds >= 60 else f", {seconds} s left"


def say(text: str) -> None:
    """Write to stderr now."""
    sys.stderr.write(text)
    sys.stderr.flush()
