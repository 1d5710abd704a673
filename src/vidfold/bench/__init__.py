"""Benches: `quality` of methods (answers, agreement, features), and `speed`."""
