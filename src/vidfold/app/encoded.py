"""A video that was encoded once, to be folded by any number of methods."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch

from vidfold import models
from vidfold.app.asking import inputs_of, timed
from vidfold.app.loading import VideoModel
from vidfold.models import Family
from vidfold.models.partial.encoding import encode
from vidfold.reading import FoldedVideo, Wording
from vidfold.reading.prompts import single
from vidfold.reducers import InnerReducer, PublishedReducer, Reducer
from vidfold.tokens import Reduction, VideoTokens
from vidfold.tower import TowerMethod
from vidfold.video import Frames


@dataclass(frozen=True, eq=False)
class Encoded:
    """A video as a model's vision tower gives it, with the prompt up to a question.

    Attributes:
        loaded: the model.
        frames: that were encoded.
        inputs: of the model, (1, L), with pixels.
        tokens: the video.
        milliseconds: of preprocess and encode.
        tower: what decided which part was computed; None: all was.
    """

    loaded: VideoModel
    frames: Frames
    inputs: dict[str, Any]
    tokens: VideoTokens
    milliseconds: dict[str, float]
    tower: TowerMethod | None = None

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        loaded: VideoModel,
        frames: Frames,
        needs: frozenset[str] = frozenset(),
        tower: TowerMethod | None = None,
    ) -> "Encoded":
        """Encode a video.

        Args:
            loaded: the model.
            frames: of the video; all of them are used.
            needs: optional fields of `VideoTokens` that methods will need.
            tower: what decides which part the vision tower computes; None: all.

        Raises:
            ValueError: needs that the model cannot meet, or frames that it does not take.
        """
        family = models.family(loaded.model)
        family.check_needs(needs)
        wording = Wording(loaded.processor)
        inputs, preparing = timed(inputs_of, loaded=loaded, prompts=[wording.opening], videos=[frames])
        given = single(family, inputs, wording)
        if tower is None:
            videos, encoding = timed(family.encode, inputs=given, needs=needs)
        else:
            (videos, _), encoding = timed(encode, family=family, inputs=given, needs=needs, method=tower)
        return cls(loaded, frames, given, videos[0], {"preprocess": preparing, "encode": encoding}, tower)

    @property
    def family(self) -> Family:
        """The model's family."""
        return models.family(self.loaded.model)

    def reduced(self, method: Reducer) -> tuple[Reduction, float]:
        """The video folded, with weights where the method has some, and the milliseconds of the fold without them.

        Raises:
            ValueError: a method that works inside the language model, which folds no video beforehand.
        """
        if isinstance(method, InnerReducer):
            raise ValueError(f"{method!r} works inside the language model: it folds no video beforehand")
        video = self.tokens.only(method.needs)
        reduction, spent = timed(method, tokens=video)
        adds_up = isinstance(method, PublishedReducer) and method.original and method.adds_up
        return reduction if adds_up else method(video, weights=True), spent

    def read(self, reduction: Reduction, method: str) -> FoldedVideo:
        """The video as the language model reads it folded, to be asked questions."""
        family, frames = self.family, self.frames
        bare = dataclasses.replace(reduction, weights=None)
        arranged = [family.arranged(bare)]
        return FoldedVideo.of(
            family,
            self.inputs,
            family.splice(self.inputs, arranged),
            arranged,
            method=method,
            times=tuple(frames.timestamps.tolist()),
            duration=frames.duration,
            wording=Wording(self.loaded.processor),
        )
