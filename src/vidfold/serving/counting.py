"""Tokens of videos before and after folding, in vLLM's log and among its Prometheus metrics."""

import logging

from prometheus_client import Counter

BEFORE = Counter("vidfold_video_tokens_before", "Tokens of folded videos before folding.")
AFTER = Counter("vidfold_video_tokens_after", "Tokens of folded videos after folding.")


def told(before: int, after: int) -> None:
    """Count one video of a request, and write a line at debug level; unfolded videos do not count."""
    if after < before:
        logging.getLogger("vllm.vidfold").debug("a video of %d tokens is read as %d", before, after)
        BEFORE.inc(before)
        AFTER.inc(after)
