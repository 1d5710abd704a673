"""The embedded model: a little world of synthetic clips, questions about it, and a model that knows it."""

from vidfold.tiny.model import path
from vidfold.tiny.questions import Question, questions
from vidfold.tiny.scenes import Clip, render, seeds

__all__ = ["Clip", "Question", "path", "questions", "render", "seeds"]
