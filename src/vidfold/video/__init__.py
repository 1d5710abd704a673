"""Video files: frames sampled evenly over a whole video, and clips written as mp4."""

from vidfold.video.sampling import Frames, available, sample, write

__all__ = ["Frames", "available", "sample", "write"]
