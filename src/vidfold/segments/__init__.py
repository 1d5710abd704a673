"""Cut a video into clips: uniform, given, where the picture changes, or where merging saves most tokens."""

from collections.abc import Sequence

from vidfold.clips import Clips, Segmenter
from vidfold.segments.dynamic import DySeg
from vidfold.segments.optimal import OptimalSeg
from vidfold.segments.uniform import Fixed, Uniform, default_clip


def segmenter(segments: Segmenter | Sequence[tuple[int, int]] | str | None, clip: int | None = None) -> Segmenter:
    """The segmenter for a method's ``segments`` field.

    Args:
        segments: a segmenter, "uniform" (or None), "dynamic" (`DySeg`), "optimal" (`OptimalSeg`), or (start, length)
            pairs.
        clip: frames per clip, only for uniform clips.

    Raises:
        ValueError: none of these, or a clip length for clips that are not uniform.
    """
    if segments in (None, "uniform"):
        return Uniform(clip)
    if clip is not None:
        raise ValueError(f"clip={clip!r} goes with uniform segments only, not with segments={segments!r}")
    if segments == "dynamic":
        return DySeg()
    if segments == "optimal":
        return OptimalSeg()
    if isinstance(segments, Sequence) and not isinstance(segments, str):
        return Fixed(tuple((int(start), int(length)) for start, length in segments))
    if callable(segments):
        return segments
    raise ValueError(
        f"segments must be 'uniform', 'dynamic', 'optimal', a segmenter or (start, length) pairs, got {segments!r}"
    )


__all__ = ["Clips", "DySeg", "Fixed", "OptimalSeg", "Segmenter", "Uniform", "default_clip", "segmenter"]
