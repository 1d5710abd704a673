"""What each method keeps: in feature space, in what a model says, and in right answers."""

from vidfold.bench.agreement import Agreement, Reference
from vidfold.bench.features import Features, features
from vidfold.bench.quality import quality
from vidfold.bench.sources import Scenes, Source, Videos

__all__ = ["Agreement", "Features", "Reference", "Scenes", "Source", "Videos", "features", "quality"]
