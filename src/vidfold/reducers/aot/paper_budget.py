"""How `AOTPaper` divides its budget among clips and, within a clip, among roles; exact and decided on the device."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vidfold.clips import Clips


@dataclass(frozen=True, eq=False)
class ClipBudget:
    """What each clip may keep; the sum over clips and roles is exactly K.

    Attributes:
        anchors: (C,) int64, anchors of every frame of the clip; the key frame's are emitted merged.
        repeated: (C,) int64, of the key frame's anchors, how many are emitted unchanged as well.
        kept: (C,) int64, tokens kept of the later frames together.
        most: an upper bound of ``anchors`` that the host knows without asking the device.
    """

    anchors: Tensor
    repeated: Tensor
    kept: Tensor
    most: int

    def kept_at(self, gap: int, lengths: Tensor) -> Tensor:
        """Tokens kept of the frame ``gap`` >= 1 after the key frame, (C,); frames of a clip differ by at most one."""
        later = (lengths - 1).clamp_min(1)
        return self.kept * gap // later - self.kept * (gap - 1) // later


def clip_budget(total: int, cells: int, clips: Clips, keep: float, repeat: bool) -> ClipBudget:
    """Divide K tokens among clips in proportion to their frames, and within a clip among roles.

    A clip of L frames with n anchors a frame emits n merged ones, n unchanged ones if ``repeat``, and about
    keep * n tokens of each later frame. n is solved from that; the later frames get what the rounding leaves over.

    Args:
        total: K.
        cells: N, tokens a frame.
        clips: of the video.
        keep: share of a later frame's anchors kept as temporal dynamics, in [0, 1].
        repeat: whether the key frame's anchors are emitted twice.
    """
    share, lengths = clips.shares(total), clips.lengths
    copies = 1 + (repeat & (lengths > 1)).to(torch.int64)
    units = copies + (lengths - 1).clamp_min(0).float() * keep
    fewest = -(-share // (copies + lengths - 1).clamp_min(1))
    anchors = torch.minimum(torch.maximum((share / units + 0.5).floor().long(), fewest), share).clamp_max(cells)
    repeated = torch.minimum((copies - 1) * anchors, share - anchors)
    of_length = {length: -(-total * length // clips.frames) for length in range(1, clips.longest + 1)}
    most = max(int(share / (1 + (length - 1) * keep)) + 1 for length, share in of_length.items())
    return ClipBudget(anchors=anchors, repeated=repeated, kept=share - anchors - repeated, most=min(cells, most))
