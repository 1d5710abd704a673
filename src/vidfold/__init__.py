"""vidfold: fold a video into a tenth of its tokens before a language model reads them."""

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
