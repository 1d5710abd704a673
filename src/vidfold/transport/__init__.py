"""Optimal transport on batches of small dense problems; knows nothing of video."""

from vidfold.transport.costs import cosine, grid_distance, grid_positions
from vidfold.transport.sinkhorn import Transport, sinkhorn

__all__ = ["Transport", "cosine", "grid_distance", "grid_positions", "sinkhorn"]
