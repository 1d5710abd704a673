"""Prompts that lose placeholders: shorter per-token tensors, positions, and which placeholders are a video."""
