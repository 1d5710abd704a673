"""One visitor's video: encoded once, read once by every method, and asked any number of questions."""

import threading
from dataclasses import dataclass, replace

from vidfold.app.asking import check_question, timed
from vidfold.app.encoded import Encoded
from vidfold.app.loading import VideoModel
from vidfold.app.showing import budgets, film, view
from vidfold.app.tables import described
from vidfold.reading import FoldedVideo
from vidfold.reducers import Identity, Reducer
from vidfold.show.page import Page
from vidfold.video import Frames

READINGS = 4
"""Ways to fold the video that are kept for further questions, beside the unfolded one."""
BUDGETS = (0.05, 0.10, 0.25, 0.50)
"""Those of the page's slider, beside the chosen one."""


@dataclass(frozen=True)
class Reply:
    """An answer, and what it took.

    Attributes:
        method: in words.
        text: the answer.
        tokens: that the language model read of the video.
        before: tokens of the video.
        milliseconds: to encode, fold and read the video, 0 where an earlier question did that; and to answer.
    """

    method: str
    text: str
    tokens: int
    before: int
    milliseconds: dict[str, float]


class Session:
    """A video and what has been read of it. Several threads may ask at once; they take turns.

    Attributes:
        loaded: the model.
        frames: of the video.
        title: its name.
        source: what the frames were taken from, to tell whether it still is the same.
    """

    def __init__(self, loaded: VideoModel, frames: Frames, title: str, source: object = None) -> None:
        self.loaded, self.frames, self.title, self.source = loaded, frames, title, source
        self._encoded: Encoded | None = None
        self._needs: frozenset[str] = frozenset()
        self._readings: dict[str, FoldedVideo] = {}
        self._turn = threading.Lock()

    def ask(self, question: str, method: Reducer) -> tuple[Reply, Reply]:
        """The answer from all tokens, and from the folded ones.

        Raises:
            ValueError: an empty question, or a method that does not fit the model or works inside it.
        """
        check_question(question)
        with self._turn:
            if not self._readings:  # the first call of all is slow, and should not be the unfolded one that is timed
                self._read(self._video(method), method).ask(question, max_new_tokens=1)
            unfolded, folded = (self._asked(question, each) for each in (Identity(), method))
        return unfolded, folded

    def page(self, question: str, unfolded: Reply, folded: Reply, method: Reducer) -> Page:
        """What was folded, with these answers, and the same method with other budgets."""
        with self._turn:
            video = self._video(method)
            first = replace(view(video, method), answer=folded.text, milliseconds=folded.milliseconds)
            others = [view(video, each) for each in budgets(method, BUDGETS)]
        return Page(film(video, self.title), [first, *others], question, (unfolded.text, unfolded.milliseconds))

    def _asked(self, question: str, method: Reducer) -> Reply:
        name, reading = described(method), 0.0
        if name not in self._readings:
            video = self._video(method)
            self._readings[name], reading = timed(self._read, video=video, method=method)
            reading += video.milliseconds["encode"]
            while len(self._readings) > READINGS + 1:
                del self._readings[next(each for each in self._readings if each != described(Identity()))]
        read = self._readings[name]
        text, answering = timed(read.ask, question=question)
        return Reply(
            "unfolded" if isinstance(method, Identity) else name,
            text,
            read.tokens,
            read.before,
            {"reading": reading, "answering": answering},
        )

    def _read(self, video: Encoded, method: Reducer) -> FoldedVideo:
        return video.read(video.reduced(method)[0], repr(method))

    def _video(self, method: Reducer) -> Encoded:
        """The video, encoded with what the method needs."""
        if self._encoded is None or not method.needs <= self._needs:
            self._encoded = Encoded.of(self.loaded, self.frames, self._needs | method.needs)
            self._needs |= method.needs
        return self._encoded
