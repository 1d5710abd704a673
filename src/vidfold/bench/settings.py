"""What is measured: a method at a retention, and a video that it folded."""

from dataclasses import dataclass, fields, replace

from vidfold.app.asking import timed
from vidfold.bench.provenance import code_of
from vidfold.checks import check_ratio
from vidfold.reducers import METHODS, Identity, Reducer, get
from vidfold.reducers.inner import InnerReducer
from vidfold.tokens import Reduction, VideoTokens

_REFERENCE_SHARE = 126 / 729 / 0.10  # anchors per patch at retention 1, scaled from the authors' setting


@dataclass(frozen=True)
class Setting:
    """A method of the registry at a retention, or a given method unchanged.

    Attributes:
        method: name in the registry, or a label of ``given``.
        retention: requested share of the tokens, in (0, 1].
        given: a method that is used as it is, except that a random method gets a seed for each clip.

    Raises:
        ValueError: an unknown method, or a retention out of range.
    """

    method: str
    retention: float
    given: Reducer | None = None

    def __post_init__(self) -> None:
        check_ratio("retention", self.retention)
        _ = self.example

    @property
    def example(self) -> Reducer:
        """The method; its fields may differ from those for a video."""
        return self.given or get(self.method)

    @property
    def code(self) -> str:
        """Digest of the source of the method and of what it imports."""
        return code_of(type(self.example).__module__)

    @property
    def label(self) -> str:
        """The method, the retention and the code, by which values of clips are saved."""
        return f"{self.method} {self.retention:g} {self.code}"

    def reducer(self, tokens: VideoTokens, seed: int) -> Reducer:
        """The method for one video, and for random methods with the ``seed``.

        The authors' AOT has no retention: its number of anchors is scaled from their setting, and the number of tokens
        it keeps is measured.
        """
        names = {field.name for field in fields(self.example)}
        settings: dict[str, object] = {"seed": seed} if "seed" in names else {}
        if self.given is None and "retention" in names:
            settings["retention"] = self.retention
        elif self.given is None and "anchors" in names:
            patches = tokens.features.shape[1]
            settings["anchors"] = min(patches, round(_REFERENCE_SHARE * self.retention * patches))
        return replace(self.example, **settings)  # type: ignore[arg-type]


FULL = Setting(Identity.name, 1.0)
"""All tokens."""


@dataclass(frozen=True, eq=False)
class Fold:
    """One video folded with one setting.

    Attributes:
        setting: the setting.
        reducer: the method for this video.
        reduction: the folded video; None for a method inside the language model.
        milliseconds: wall-clock time of the fold; None for a method inside the language model.
    """

    setting: Setting
    reducer: Reducer
    reduction: Reduction | None = None
    milliseconds: float | None = None

    @classmethod
    def of(cls, setting: Setting, tokens: VideoTokens, seed: int) -> "Fold":
        """Fold a video; the method gets the optional fields that it needs, and no others.

        Raises:
            ValueError: the method cannot fold this video.
        """
        reducer = setting.reducer(tokens, seed)
        if isinstance(reducer, InnerReducer):
            return cls(setting, reducer)
        given = tokens.only(reducer.needs)
        return cls(setting, reducer, *timed(lambda: reducer(given)))


def exact_methods() -> tuple[str, ...]:
    """Names of the methods that fold before the language model and keep exactly the requested share."""
    return tuple(name for name in outside_methods() if get(name).exact and hasattr(get(name), "retention"))


def outside_methods() -> tuple[str, ...]:
    """Names of the methods that fold before the language model: AOT first, without the one that keeps all tokens."""
    names = (name for name, method in METHODS.items() if not issubclass(method, InnerReducer | Identity))
    return tuple(sorted(names, key=lambda name: (name != "aot", name)))
