"""What methods are made of: merges, groups, clusters, greedy choices, shares, and the lineage of a fold."""
