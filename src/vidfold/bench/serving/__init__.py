"""Time of a vLLM server, folded and unfolded in turns, with several clients at once."""

from vidfold.bench.serving.clients import Sample, measure
from vidfold.bench.serving.report import table
from vidfold.bench.serving.server import Server, serving

__all__ = ["Sample", "Server", "measure", "serving", "table"]
