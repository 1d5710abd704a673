"""What decides answers, and what decides how fast they come."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vidfold import checks
from vidfold.app.loading import TINY, Quantization, usual_frames
from vidfold.checks import check_count, check_known, check_positive, setting
from vidfold.reducers import AOT, Reducer
from vidfold.video.choosing import WAYS


@dataclass(frozen=True)
class Settings(checks.Settings):
    """What decides the answers of a run. An output folder holds answers of one of these.

    Attributes:
        model: as `vidfold.app.loading.load` takes it.
        reducer: folds every video.
        frames: of a video; None: those that the reducer's number of tokens pays for, else 8 for the embedded models
            and 32 for others.
        choose: which frames: a name in `vidfold.video.choosing.WAYS`.
        max_new_tokens: length of an answer at most.
        dtype: name of a torch dtype; None: the checkpoint's own.
        attention: attention implementation of transformers; None: its default.
        quantization: of the weights.
        trust_remote_code: whether Python code that comes with the checkpoint may run.
    """

    model: str = TINY
    reducer: Reducer = AOT()  # noqa: RUF009
    frames: int | None = setting(None, check_count, optional=True)
    choose: str = "even"
    max_new_tokens: int = setting(64, check_count)
    dtype: str | None = None
    attention: str | None = None
    quantization: Quantization | None = None
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_known("unknown way to choose frames", self.choose, WAYS)
        if not isinstance(self.reducer, Reducer):
            raise ValueError(f"reducer must be a method, such as vidfold.AOT(0.1), got {self.reducer!r}")
        if Path(self.model).is_dir():  # the same model from every folder, and for every worker
            object.__setattr__(self, "model", str(Path(self.model).absolute()))

    @property
    def tokens(self) -> int | None:
        """The number of tokens that decides how many frames are taken; None where it does not."""
        return None if self.frames is not None else getattr(self.reducer, "tokens", None)

    @property
    def usual(self) -> int:
        """Frames of a video where no number of tokens decides."""
        return self.frames or usual_frames(self.model)

    def record(self) -> dict[str, Any]:
        """All settings as JSON has them, the fields of the method among them; frames as they are in the end."""
        own = {each.name: getattr(self, each.name) for each in dataclasses.fields(self) if each.name != "reducer"}
        method = {f"method.{name}": value for name, value in dataclasses.asdict(self.reducer).items()}
        frames = None if self.tokens else self.usual
        every = own | {"frames": frames, "method": self.reducer.name} | method
        record: dict[str, Any] = json.loads(json.dumps(every, default=str))
        return record

    @cached_property
    def hash(self) -> str:
        """12 hex digits that differ between settings. Every row asks for it."""
        return hashlib.sha256(json.dumps(self.record(), sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Resources(checks.Settings):
    """What decides how fast answers come, and what is done about failures; it changes no answer.

    Attributes:
        workers: processes with a model each.
        decoders: processes of each worker that decode videos; None: one for each core that the worker has, at most 8.
        batch_size: videos, or questions about one video, in a call of the model, at most.
        device: of every worker, such as "cpu"; None: GPUs in turn, else the CPU.
        gpus: share of a GPU that a worker on a Ray cluster reserves; None: 1 where there are GPUs, else 0.
        timeout: seconds that decoding one video may take. A worker may be silent for as long once more for each
            question about a video that it holds.
        retries: how often a video is tried again when it ends a process.
    """

    workers: int = setting(1, check_count)
    decoders: int | None = setting(None, check_count, optional=True)
    batch_size: int = setting(4, check_count)
    device: str | None = None
    gpus: float | None = setting(None, checks.check_weight, optional=True)
    timeout: float = setting(600.0, check_positive)
    retries: int = setting(2, check_count, least=0)

    def placed(self, cores: int) -> "Resources":
        """With a number of decoders, on machines of so many cores together."""
        return dataclasses.replace(self, decoders=self.decoders or min(8, max(1, cores // self.workers)))

    @property
    def ahead(self) -> int:
        """Videos that a worker is given before it answers the first: those that it decodes and those in its model."""
        return (self.decoders or 1) + self.batch_size
