"""What was folded, visible: where the cells of a video went, as a page, as a picture, and in a notebook."""
