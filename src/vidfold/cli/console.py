"""What a command says while it works, and libraries without their own output."""

import contextlib
import logging
import sys
import threading
import time
import warnings
from collections.abc import Iterator

from vidfold import extras
from vidfold.app import progress
from vidfold.versions import UntestedVersion


@contextlib.contextmanager
def announced_if_slow(doing: str) -> Iterator[None]:
    """Write to stderr what is being done if it takes more than `progress.PATIENCE` seconds; a terminal counts them."""
    done, start = threading.Event(), time.monotonic()

    def announce() -> None:
        if done.wait(progress.PATIENCE):
            return
        if not sys.stderr.isatty():
            progress.say(f"{doing} ...\n")
            return
        while not done.wait(0.5):
            progress.say(f"{doing} ... {time.monotonic() - start:.0f} s\r")
        progress.say("\033[K")

    thread = threading.Thread(target=announce, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextlib.contextmanager
def logged(verbose: bool) -> Iterator[None]:
    """Write the log of vidfold to stderr, if that is wanted."""
    log = logging.getLogger("vidfold")
    handler, level = logging.StreamHandler(), log.level
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    if verbose:
        log.addHandler(handler)
        log.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(handler)


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Turn off warnings, log lines and progress bars of transformers and the hub; at the end they are restored.

    The warning of an untested version is still shown, and so are the bars of downloads.
    """
    transformers_logging = extras.load("transformers", "models").logging
    from huggingface_hub.utils.tqdm import enable_progress_bars

    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    hub = logging.getLogger("huggingface_hub")
    hub_level = hub.level
    transformers_logging.set_verbosity(transformers_logging.CRITICAL)
    hub.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("default", UntestedVersion)
            transformers_logging.disable_progress_bar()
            enable_progress_bars()  # of the hub, whose bars transformers turns off with its own
            yield
    finally:
        hub.setLevel(hub_level)
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
