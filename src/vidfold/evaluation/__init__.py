"""Benchmarks: folded models as a plugin of lmms-eval, and the tables of the papers, one command per row."""
