"""What methods are made of: ranks, covers, clusters, shares, still cells, sketches."""
