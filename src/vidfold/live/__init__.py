"""A page in the browser where a video is asked about, unfolded and folded."""
