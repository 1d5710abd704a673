"""What a command says while it works, and libraries without their own output."""

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator

from vidfold import extras
from vidfold.app import progress
from vidfold.versions import UntestedVersion


@contextlib.contextmanager
def announced_if_slow(doing: str) -> Iterator[None]:
    """Write to stderr what is being done if it takes more than `progress.PATIENCE` seconds."""
    timer = threading.Timer(progress.PATIENCE, lambda: progress.say(f"{doing} ...\n"))
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
