"""Time to first token by stage: unfolded, folded, a lower bound, and the authors' way."""

from vidfold.bench.speed.report import markdown, overview, write
from vidfold.bench.speed.results import Results
from vidfold.bench.speed.run import Plan, Subject, measure

__all__ = ["Plan", "Results", "Subject", "markdown", "measure", "overview", "write"]
