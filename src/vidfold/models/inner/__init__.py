"""Tokens dropped between the decoder layers of a language model."""
