"""The values that flow through the package: what a vision tower says, and what the language model will read instead."""

import enum
from collections.abc import Sequence
from dataclasses import InitVar, dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from vidfold.show.inline import drawing
from vidfold.show.trace import Trace

Grid = tuple[int, int]

OPTIONAL = frozenset({"shallow", "deep", "frame_features", "keys", "head_attention"})
"""Fields of `VideoTokens` that a model family fills on demand."""

ATTENTION = frozenset({"shallow", "deep", "head_attention"})
"""Those of them that hold attention received, which is never negative."""


class Pooling(enum.Enum):
    """How a model shrinks its encoder grid by two before the language model reads it."""

    NONE = "none"
    BILINEAR = "bilinear"
    """Bilinear resize to ``ceil(side / 2)``, half-pixel centres, no antialiasing (LLaVA-OneVision)."""
    AVERAGE = "average"
    """Mean of 2x2 cells, stride 2; an odd last row or column is dropped (LLaVA-Video)."""

    def grid(self, grid: Grid) -> Grid:
        """Height and width of the language grid that ``grid`` is pooled to."""
        height, width = grid
        if self is Pooling.NONE:
            return height, width
        if self is Pooling.BILINEAR:
            return (height + 1) // 2, (width + 1) // 2
        return height // 2, width // 2

    def __call__(self, maps: Tensor, grid: Grid) -> Tensor:
        """Pool row-major maps (F, H*W, D) of any float dtype to the language grid, (F, N, D) in the same dtype."""
        if self is Pooling.NONE:
            return maps
        frames, _, width = maps.shape
        planes = maps.transpose(1, 2).reshape(frames, width, *grid)
        if self is Pooling.BILINEAR:
            planes = functional.interpolate(planes, size=self.grid(grid), mode="bilinear", align_corners=False)
        else:
            planes = functional.avg_pool2d(planes, kernel_size=2, stride=2)
        return planes.flatten(2).transpose(1, 2)


@dataclass(frozen=True, eq=False, repr=False)
class VideoTokens:
    """What a vision tower says about one video.

    Checked once, when it is made: shapes and dtypes, and that every number is finite, for which the host waits for the
    device once (`check_values`). Reducers may then trust it.

    Attributes:
        features: (F, H*W, D) projected tokens in the language model's width, row-major on the encoder grid.
        grid: (H, W), the encoder grid.
        pooling: how the model shrinks that grid before its language model.
        shallow: (F, H*W) attention each token receives in a shallow vision layer (mean over heads, sum over
            queries), or None.
        deep: (F, H*W) the same in a deep vision layer, or None.
        newline: (D,) vector that the model appends to every row of the pooled grid (LLaVA-Video), or None.
        frame_features: (F, E) one global descriptor a frame, for temporal segmentation, or None.
        keys: (F, H*W, E) attention keys, mean over heads, of the last used vision layer, or None.
        head_attention: (F, H*W) attention of the tower's pooling head, or None.
        timestamps: (F,) seconds at which the frames were sampled, or None.
        side: (levels, F, H*W, E) features that the language model adds to the tokens in its first layers (DeepStack of
            Qwen3-VL), or None. No method looks at them; they are folded with the weights of the tokens they belong to.
        check: False leaves the check of the numbers to a later `check_values`, which checks many videos at once.

    Raises:
        ValueError: a shape, dtype or value that does not fit; the message quotes it.
    """

    features: Tensor
    grid: Grid
    pooling: Pooling = Pooling.NONE
    shallow: Tensor | None = None
    deep: Tensor | None = None
    newline: Tensor | None = None
    frame_features: Tensor | None = None
    keys: Tensor | None = None
    head_attention: Tensor | None = None
    timestamps: Tensor | None = None
    side: Tensor | None = None
    check: InitVar[bool] = True

    def __post_init__(self, check: bool) -> None:
        if not isinstance(self.features, Tensor) or self.features.ndim != 3:
            raise ValueError(
                f"features must be a (frames, height*width, channels) tensor, got {_describe(self.features)}"
            )
        frames, patches, channels = self.features.shape
        if 0 in self.features.shape:
            raise ValueError(
                f"features must hold at least one frame, patch and channel, got {_describe(self.features)}"
            )
        if len(self.grid) != 2 or self.grid[0] * self.grid[1] != patches:
            raise ValueError(f"grid {tuple(self.grid)} does not match the {patches} patches a frame of features")
        if not isinstance(self.pooling, Pooling):
            raise ValueError(f"pooling must be a vidfold.Pooling, got {self.pooling!r}")
        if self.cells == 0:
            raise ValueError(f"{self.pooling} leaves nothing of grid {self.grid}: each side needs at least 2 patches")
        expected: dict[str, tuple[int | None, ...]] = {
            "features": (frames, patches, channels),
            "shallow": (frames, patches),
            "deep": (frames, patches),
            "newline": (channels,),
            "frame_features": (frames, None),
            "keys": (frames, patches, None),
            "head_attention": (frames, patches),
            "timestamps": (frames,),
            "side": (None, frames, patches, None),
        }
        for name, shape in expected.items():
            value = getattr(self, name)
            if value is not None:
                _check_form(name, value, shape, self.features.device)
        if check:
            check_values([self])

    def __repr__(self) -> str:
        return _in_short(self)

    @property
    def frames(self) -> int:
        """Number of frames F."""
        return self.features.shape[0]

    @property
    def language_grid(self) -> Grid:
        """Height and width of the grid the language model reads."""
        return self.pooling.grid(self.grid)

    @property
    def cells(self) -> int:
        """Tokens a frame N that the language model would read, newlines not counted."""
        height, width = self.language_grid
        return height * width

    def pool(self, maps: Tensor) -> Tensor:
        """Pool per-patch values (F, H*W) or (F, H*W, D) to the language grid: (F, N) or (F, N, D)."""
        if maps.ndim == 2:
            return self.pooling(maps[..., None], self.grid)[..., 0]
        return self.pooling(maps, self.grid)

    def only(self, names: frozenset[str]) -> "VideoTokens":
        """The same tokens with these of the `OPTIONAL` fields alone, as folding gives them to a method with such needs.

        Some methods use a field where it is there and another where it is not; a comparison must not give them more.
        """
        spare: dict[str, Any] = dict.fromkeys(OPTIONAL - names)
        return replace(self, check=False, **spare)

    def pooled(self) -> Tensor:
        """All tokens of the language grid, (F, N, D): what the language model reads when nothing is folded."""
        return self.pool(self.features)


@dataclass(frozen=True, eq=False, repr=False)
class Reduction:
    """What the language model will read instead.

    Attributes:
        tokens: (K, D) folded tokens in reading order.
        frames: (K,) int64, the frame each token stands for.
        cells: (K,) int64, the cell of the language grid it stands for, row-major; ``N + r`` is the newline of row r.
        grid: (h, w), the language grid.
        full: F*N, the tokens there were, newlines not counted.
        weights: sparse (K, S) matrix of the fold, or None when not asked for: how much of every source token went
            into each folded one; rows sum to 1 and ``weights @ sources == tokens``. The sources are the F*N pooled
            tokens, or the F*H*W encoder tokens where a method merges before pooling; a method that merges newlines
            too has one more column, last, for the newline vector.
        side: (levels, K, E), `VideoTokens.side` folded with those weights, or None.
    """

    tokens: Tensor
    frames: Tensor
    cells: Tensor
    grid: Grid
    full: int
    weights: Tensor | None = None
    side: Tensor | None = None

    def __post_init__(self) -> None:
        count = self.tokens.shape[0]
        if self.tokens.ndim != 2 or self.frames.shape != (count,) or self.cells.shape != (count,):
            raise ValueError(
                "a reduction needs (K, D) tokens with (K,) frames and cells, got "
                f"{tuple(self.tokens.shape)}, {tuple(self.frames.shape)}, {tuple(self.cells.shape)}"
            )

    @classmethod
    def of(
        cls, video: VideoTokens, tokens: Tensor, frames: Tensor, cells: Tensor, weights: Tensor | None = None
    ) -> "Reduction":
        """The reduction of a video to these tokens (K, D) of any float dtype."""
        full = video.frames * video.cells
        return cls(tokens.to(video.features.dtype), frames, cells, video.language_grid, full, weights)

    def __len__(self) -> int:
        return self.tokens.shape[0]

    def __repr__(self) -> str:
        return _in_short(self)

    @property
    def newlines(self) -> int:
        """How many of the tokens are newlines, which no budget counts."""
        height, width = self.grid
        return int((self.cells >= height * width).sum())

    @property
    def retention(self) -> float:
        """Kept share of the tokens, K / (F*N), newlines on neither side."""
        return (len(self) - self.newlines) / self.full

    @property
    def trace(self) -> Trace:
        """Where the cells of the video went, as plain arrays; only that of tokens is known where there are no weights.

        Weights of encoder tokens count as none, since the encoder grid is not known here.
        """
        return Trace.of(self.frames, self.cells, self.grid, self.full, self.weights)

    def _repr_html_(self) -> str:
        return drawing(self.trace)


@torch.no_grad()
def check_values(videos: Sequence[VideoTokens]) -> None:
    """Raise a ValueError that names the field of a number that is not finite, or of attention that is negative.

    The host waits for the device once.
    """
    given = [(f.name, getattr(video, f.name)) for video in videos for f in fields(video)]
    values = [(name, value) for name, value in given if isinstance(value, Tensor) and value.numel()]
    sound = []
    for name, value in values:
        least, most = value.aminmax()  # NaN where any number is
        sound.append(least.isfinite() & most.isfinite() & (least >= 0 if name in ATTENTION else True))
    if bool(torch.stack(sound).all()):
        return
    for name, value in values:
        if bool((bad := ~torch.isfinite(value)).any()):
            raise ValueError(
                f"{name} must be finite, but {int(bad.sum())} of {value.numel()} values are NaN or infinite; "
                "half precision may have overflowed in the vision tower: try bfloat16 or float32"
            )
        if name in ATTENTION and bool((value < 0).any()):
            raise ValueError(f"{name} must not be negative: it is attention received; the least is {value.min():g}")


def _check_form(name: str, value: Tensor, shape: tuple[int | None, ...], device: torch.device) -> None:
    fits = (
        isinstance(value, Tensor)
        and value.ndim == len(shape)
        and all(want in (None, have) for want, have in zip(shape, value.shape, strict=True))
    )
    if not fits:
        wanted = ", ".join("any" if side is None else str(side) for side in shape)
        raise ValueError(f"{name} must be a tensor of shape ({wanted}), got {_describe(value)}")
    if not value.is_floating_point():
        raise ValueError(f"{name} must be floating point, got {value.dtype}")
    if value.device != device:
        raise ValueError(f"{name} must be on {device} as features are, got {value.device}")


def _describe(value: object) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"{type(value).__name__} {value!r}"


def _in_short(values: VideoTokens | Reduction) -> str:
    """The fields that are set, of tensors their dtype and shape."""
    given = {f.name: value for f in fields(values) if (value := getattr(values, f.name)) is not None}
    parts = [
        f"{name}={f'{str(each.dtype)[6:]} {tuple(each.shape)}' if isinstance(each, Tensor) else each}"
        for name, each in given.items()
    ]
    return f"{type(values).__name__}({', '.join(parts)})"
