"""Benchmarks: lmms-eval runs folded models without a fork, and the tables of the papers, a command a row."""
