"""Questions about many videos: rows in Parquet parts, one for each video and question, whatever fails meanwhile."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidfold.batch.output import rows_of, status
    from vidfold.batch.running import run
    from vidfold.batch.settings import Resources, Settings
    from vidfold.batch.stage import Ask
    from vidfold.batch.tally import Tally
    from vidfold.batch.tasks import Task

__all__ = ["Ask", "Resources", "Settings", "Tally", "Task", "rows_of", "run", "status"]

_HOMES = {
    "output": ("rows_of", "status"),
    "running": ("run",),
    "settings": ("Resources", "Settings"),
    "stage": ("Ask",),
    "tally": ("Tally",),
    "tasks": ("Task",),
}
"""Module -> its public names. They are imported when first used, so that processes that decode start without torch."""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """A public name."""
        home = next((module for module, names in _HOMES.items() if name in names), None)
        if home is None:
            raise AttributeError(f"module 'vidfold.batch' has no attribute {name!r}")
        return globals().setdefault(name, getattr(import_module(f"vidfold.batch.{home}"), name))
