"""What programs share: a model by name, one question from frames to an answer, and what a terminal shows."""
