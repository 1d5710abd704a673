"""A method that ends its process."""

import os
import signal
from dataclasses import dataclass

from vidfold import Identity, Reduction, VideoTokens


@dataclass(frozen=True)
class Deadly(Identity):
    """Keeps all tokens, and kills the process at a video of so few frames."""

    frames: int = 1

    def reduce(self, tokens: VideoTokens, *, weights: bool) -> Reduction:
        if tokens.frames <= self.frames:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().reduce(tokens, weights=weights)
