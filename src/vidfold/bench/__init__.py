"""Quality of methods: in feature space, agreement with the unfolded model, and right answers."""

from vidfold.bench.agreement import Agreement, Reference
from vidfold.bench.features import Features, features
from vidfold.bench.quality import quality
from vidfold.bench.sources import Scenes, Source, Videos

__all__ = ["Agreement", "Features", "Reference", "Scenes", "Source", "Videos", "features", "quality"]
