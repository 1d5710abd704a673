"""AOT (Anchors + Optimal Transport): vidfold's own form, the paper's, and the authors' program."""

from vidfold.reducers.aot.method import AOT
from vidfold.reducers.aot.paper import AOTPaper
from vidfold.reducers.aot.reference import AOTReference

__all__ = ["AOT", "AOTPaper", "AOTReference"]
