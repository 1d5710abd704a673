"""vidfold: fold a video into a tenth of its tokens before a language model reads them."""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidfold.app.reading import read
    from vidfold.folding import Folded, fold
    from vidfold.reading import FoldedVideo, open_video
    from vidfold.reducers import AOT, Identity, Random, Reducer
    from vidfold.tokens import Pooling, Reduction, VideoTokens

__version__ = "0.1.0"
__all__ = [
    "AOT",
    "Folded",
    "FoldedVideo",
    "Identity",
    "Pooling",
    "Random",
    "Reducer",
    "Reduction",
    "VideoTokens",
    "__version__",
    "fold",
    "open_video",
    "read",
]

_HOMES = {
    "app.reading": ("read",),
    "folding": ("Folded", "fold"),
    "reading": ("FoldedVideo", "open_video"),
    "reducers": ("AOT", "Identity", "Random", "Reducer"),
    "tokens": ("Pooling", "Reduction", "VideoTokens"),
}
"""Module -> its public names. They are imported when first used, so that the command line starts without torch."""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """A public name, or a module of the package such as ``vidfold.models``."""
        home = next((module for module, names in _HOMES.items() if name in names), None)
        if home is not None:
            return globals().setdefault(name, getattr(import_module(f"vidfold.{home}"), name))
        if not name.startswith("_") and find_spec(f"vidfold.{name}"):
            return import_module(f"vidfold.{name}")
        raise AttributeError(f"module 'vidfold' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
