"""Tensor operations that several methods share: ranks, covers, clusters, shares, still cells, sketches."""
