"""The embedded model: synthetic clips of two small worlds, questions about them, and a model trained on them."""

from vidfold.tiny.model import EMBEDDED, path
from vidfold.tiny.questions import Question, learnt, questions
from vidfold.tiny.scenes import Clip, render, seeds

__all__ = ["EMBEDDED", "Clip", "Question", "learnt", "path", "questions", "render", "seeds"]
