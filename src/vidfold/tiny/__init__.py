"""The embedded model: synthetic clips of two small worlds, questions about them, and a model trained on them."""

from vidfold.tiny.model import path
from vidfold.tiny.questions import Question, questions
from vidfold.tiny.scenes import Clip, render, seeds

__all__ = ["Clip", "Question", "path", "questions", "render", "seeds"]
