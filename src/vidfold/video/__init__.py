"""Videos: frames sampled evenly over a whole video, and clips written as mp4."""

from vidfold.video.following import Moment, follow
from vidfold.video.index import Index
from vidfold.video.sampling import Frames, available, read, sample
from vidfold.video.writing import write

__all__ = ["Frames", "Index", "Moment", "available", "follow", "read", "sample", "write"]
