"""Time to first token by stage: unfolded, folded, a lower bound, and the authors' way."""

from vidfold.bench.speed.measuring import measure
from vidfold.bench.speed.plan import Plan
from vidfold.bench.speed.report import markdown, overview
from vidfold.bench.speed.results import Results
from vidfold.bench.speed.subject import Subject
from vidfold.bench.speed.writing import read, write

__all__ = ["Plan", "Results", "Subject", "markdown", "measure", "overview", "read", "write"]
