"""Positions of folded videos in models with M-RoPE, through vLLM's protocol for pruned videos.

As in `vidfold.models`, every token keeps the position that it has in the unfolded prompt: text after a video goes on
where it would, and a folded token stands where the cell that it stands for would. The first is known without the
content, so it is right from the start, also where vLLM finds the whole video in its prefix cache. The second comes with
the embeddings: each row ends with its position relative to the video's first, and its number within the video.

Both ride in columns of the embeddings' dtype as bits, not as numbers: bfloat16 has no integers beyond 256.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

COLUMNS = 4
"""Time, height, width, and the number within the video."""


def attached(tokens: Tensor, relative: Tensor) -> Tensor:
    """Tokens (R, D) with their positions (R, 3) int64 and numbers behind them: (R, D + 4)."""
    return torch.cat([tokens, columns(relative, tokens.dtype)], dim=1)


def columns(relative: Tensor, dtype: torch.dtype) -> Tensor:
    """Positions (R, 3) int64 and numbers 0... as bits of a float dtype, (R, 4)."""
    numbers = torch.arange(len(relative), device=relative.device)
    return torch.cat([relative, numbers[:, None]], dim=1).to(_integers(dtype)).contiguous().view(dtype)


def detached(rows: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """The tokens (R, width), positions (3, R) int64 and numbers (R,) int64 of rows that `attached` made."""
    held = rows[:, width:].contiguous().view(_integers(rows.dtype)).long()
    if rows.element_size() == 2:
        held = held & 0xFFFF
    return rows[:, :width], held[:, :3].T, held[:, 3]


def _integers(dtype: torch.dtype) -> torch.dtype:
    return torch.int16 if dtype.itemsize == 2 else torch.int32


def laid_out(length: int, media: Sequence[tuple[int, int, Tensor, bool]]) -> tuple[Tensor, int]:
    """Positions of a prompt before the embeddings of its videos are known.

    Args:
        length: N, its tokens.
        media: of every image and video in their order: where it starts, how many tokens it has, positions (3, R) that
            it takes unfolded at the start of a prompt, and whether it is folded.

    Returns:
        (3, N) int64, final but for folded tokens, and what is added to the number of a token after the prompt to get
        its position.
    """
    parts, end, following = [], 0, 0
    for start, tokens, whole, folded in media:
        parts.append(_counted(following, start - end))
        first = following + start - end
        parts.append(torch.full((3, tokens), first) if folded else whole + first)
        end, following = start + tokens, first + int(whole.max()) + 1
    parts.append(_counted(following, length - end))
    return torch.cat(parts, dim=1), following + length - end - length


def _counted(first: int, count: int) -> Tensor:
    return torch.arange(first, first + count).expand(3, -1)


def placed(positions: Tensor, places: Tensor, rows: Sequence[Tensor], width: int) -> tuple[list[Tensor], Tensor]:
    """Embeddings without their columns, and the positions of the prompt with those of folded tokens.

    Args:
        positions: (3, N) int64, of `laid_out` or of an earlier call.
        places: ascending int64, places of media in the part of the prompt that is read now, and perhaps later ones.
        rows: embeddings of the media there, in their order, or of parts of them; `attached` or (R, width).
        width: of embeddings.
    """
    positions, bare, start = positions.clone(), [], 0
    for each in rows:
        here = places[start : start + len(each)]
        start += len(each)
        if each.shape[1] > width:
            each, relative, numbers = detached(each, width)
            # A video begins after the token in front of it. Positions may be on the host, embeddings on a GPU.
            before = functional.pad(positions[0], (1, 0), value=-1)[here - numbers.to(here.device)]
            positions[:, here] = relative.to(positions.device) + before + 1
        bare.append(each)
    return bare, positions


class FoldedPositions:
    """Stands before vLLM's model class among the bases of a family with M-RoPE."""

    config: Any
    method: Any

    def whole(self, modality: str, item: Any) -> Tensor:
        """Positions (3, R) int64 of an unfolded image or video at the start of a prompt, by vLLM's own numbering.

        Args:
            modality: "image" or "video".
            item: its inputs of the model, vLLM's ``MultiModalKwargsItem``.
        """
        from vllm.multimodal.inputs import MultiModalFeatureSpec, PlaceholderRange

        ids = self.unfolded(modality, item)
        place = PlaceholderRange(offset=0, length=len(ids))
        feature = MultiModalFeatureSpec(data=item, modality=modality, identifier="", mm_position=place)
        positions: Tensor = super().get_mrope_input_positions(ids, [feature])[0]  # type: ignore[misc]
        return positions

    def unfolded(self, modality: str, item: Any) -> list[int]:
        """Token ids that stand for an unfolded image or video."""
        raise NotImplementedError

    def embedding_width(self) -> int:
        """Width of an embedding without columns."""
        raise NotImplementedError

    def get_mrope_input_positions(self, input_tokens: list[int], mm_features: list[Any]) -> tuple[Tensor, int]:
        """Positions of a prompt, see `laid_out`."""
        if self.method is None:
            stock: tuple[Tensor, int] = super().get_mrope_input_positions(input_tokens, mm_features)  # type: ignore[misc]
            return stock
        media = [
            (
                each.mm_position.offset,
                each.mm_position.length,
                self.whole(each.modality, each.data),
                each.modality == "video",
            )
            for each in sorted(mm_features, key=lambda each: each.mm_position.offset)
        ]
        return laid_out(len(input_tokens), media)

    def recompute_mrope_positions(
        self,
        input_ids: list[int] | Tensor,
        multimodal_embeddings: Sequence[Tensor],
        mrope_positions: Tensor,
        num_computed_tokens: int,
    ) -> tuple[Sequence[Tensor], Tensor, int]:
        """Embeddings without their columns, and positions of the part of the prompt that is read now; see `placed`."""
        if self.method is None:
            stock: tuple[Sequence[Tensor], Tensor, int] = super().recompute_mrope_positions(  # type: ignore[misc]
                input_ids, multimodal_embeddings, mrope_positions, num_computed_tokens
            )
            return stock
        ids = torch.as_tensor(input_ids, device=mrope_positions.device)
        places = ((ids == self.config.image_token_id) | (ids == self.config.video_token_id)).nonzero()[:, 0]
        bare, positions = placed(
            mrope_positions, places[places >= num_computed_tokens], multimodal_embeddings, self.embedding_width()
        )
        return bare, positions, int(positions.max()) + 1 - len(ids)
