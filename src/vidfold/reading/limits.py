"""How much a stream may keep, and what it keeps."""

from dataclasses import dataclass

from vidfold.checks import Settings, check_count, setting
from vidfold.models import Family
from vidfold.reading.held import Block


@dataclass(frozen=True)
class Limits(Settings):
    """How much a stream keeps.

    Attributes:
        max_tokens: visual tokens that the language model reads at most, newlines not counted.
        recent: frames that stay whole at least; up to ``block`` - 1 more do, until a block of them is full.
        block: frames that are encoded together and folded together.
    """

    max_tokens: int = setting(4096, check_count)
    recent: int = setting(4, check_count)
    block: int = setting(4, check_count)

    @property
    def blocks(self) -> int:
        """Blocks that are whole at most."""
        return -(-(self.recent + self.block - 1) // self.block)

    def room(self, whole: int, kept: int) -> int:
        """How many folded spans of ``kept`` tokens fit beside `blocks` of ``whole``; a ValueError for less than two."""
        spans = (self.max_tokens - self.blocks * whole) // kept
        if spans < 2:
            raise ValueError(
                f"max_tokens={self.max_tokens} is too small: {self.blocks} blocks of {self.block} frames need {whole} "
                f"tokens each while they are whole, and two of them folded {kept} each: that is "
                f"{self.blocks * whole + 2 * kept}; lower recent, block or the retention"
            )
        return spans


@dataclass(frozen=True)
class State:
    """What a stream holds.

    Attributes:
        frames: that were pushed.
        seconds: time of the last one; None before the first.
        tokens: visual tokens that the language model reads at a question.
        max_tokens: their limit.
        nbytes: memory of frames, tokens and cache.
        max_nbytes: its limit. What the model computes with while it encodes a block or answers comes on top.
        spans: (first frame, last frame, tokens) of all that is kept, in order; frames of no full block are not in it.
    """

    frames: int
    seconds: float | None
    tokens: int
    max_tokens: int
    nbytes: int
    max_nbytes: int
    spans: tuple[tuple[int, int, int], ...]


def most_bytes(family: Family, limits: Limits, block: Block | None) -> int:
    """Bytes that frames, tokens, prompts and caches of a stream take at most.

    ``block`` None, before the first frame, is without the frames and the places of their cells in a prompt.
    """
    model = family.model
    config, size = model.config.get_text_config(decoder=True), model.dtype.itemsize
    heads = config.num_key_value_heads or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    token = size * config.hidden_size * (1 + family.side_levels) + 32
    cache = 2 * size * config.num_hidden_layers * heads * width
    (height, columns), (rows, cells) = ((0, 0), (0, 0)) if block is None else (block.size, block.grid)
    # A newline may follow a token, and a token may stand for a frame of its own, all places of which are in the prompt.
    read = (2 * limits.max_tokens + 64) * (cache + 16 * (rows * (cells + 1) + 1))
    # Spans whole and folded, and in a reading; two readings, while one follows another.
    return int(3 * limits.max_tokens * token + 2 * read + 3 * height * columns * limits.block)
