"""Videos that a language model has read, folded: questions, conversations, files and streams."""

from vidfold.reading.container import Container
from vidfold.reading.conversation import Conversation
from vidfold.reading.opening import open_video
from vidfold.reading.stream import Stream
from vidfold.reading.video import FoldedVideo
from vidfold.reading.wording import Wording

__all__ = ["Container", "Conversation", "FoldedVideo", "Stream", "Wording", "open_video"]
