"""The settings of an evaluation, read from lmms-eval's ``--model_args``, and their hash."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vidfold.app.loading import TINY, Quantization, usual_frames
from vidfold.app.parsing import literal
from vidfold.checks import Settings as Checked
from vidfold.checks import check_choice, check_count, check_ratio, frozen, setting
from vidfold.reducers import Reducer, get

UNFOLDED = "none"
"""The name of no method: the model is not folded."""

_PLAIN = re.compile(r"[\w./:@+~-]+", re.ASCII)
_NUMBER = re.compile(r"[\d._e+-]+|inf|infinity|nan", re.IGNORECASE)
"""Text that lmms-eval takes for a number."""
_PART = re.compile(r"""(?:'[^']*'|"[^"]*"|\[(?:[^\[\]]|\[[^\[\]]*\])*\]|[^,])+""")
"""One argument; commas in quotes and in square brackets do not end it."""

Template = Literal["auto", "own", "qwen_1_5"]
OnError = Literal["raise", "skip"]
Flag = Literal[True, False]


@dataclass(frozen=True)
class Settings(Checked):
    """One configuration of a run.

    Attributes:
        pretrained: "tiny", "tiny-whole", a hub identifier or a folder.
        reducer: the folding method; None does not fold (``method=none``).
        frames: of a video, at most. None, for a method with ``tokens``: as many as these pay for
            (`vidfold.planning.paid_for`).
        force_sample: True samples `frames` frames evenly; False takes one a second, but no more than `frames`. None is
            lmms-eval's default for the family: one a second for LLaVA-Video, evenly for all others.
        template: of prompts: "qwen_1_5", as lmms-eval's LLaVA models use, "own", the processor's, or "auto": the first
            for LLaVA models on Qwen2, the second for all others.
        dtype: as in `vidfold.app.loading.load`.
        attention: the same.
        quantization: the same.
        device: the same.
        trust_remote_code: the same.
        batch_size: requests per call; only videos of equally many frames share a call.
        on_error: for a video that cannot be read: "raise" stops the run, "skip" reports it and gives an empty answer.
        record: folder for the samples and for ``vidfold.json``, which ``vidfold tables`` finds in the folder of the
            results or above it; None keeps no record.
        nominal: retention under which a table lists the run, for methods without the field ``retention``.
    """

    pretrained: str = TINY
    reducer: Reducer | None = None
    frames: int | None = setting(usual_frames(TINY), check_count, optional=True)
    force_sample: bool | None = setting(None, check_choice, of=Flag, optional=True)
    template: Template = setting("auto", check_choice, of=Template)
    dtype: str | None = None
    attention: str | None = None
    quantization: Quantization | None = setting(None, check_choice, of=Quantization, optional=True)
    device: str | None = None
    trust_remote_code: bool = setting(False, check_choice, of=Flag)
    batch_size: int = setting(1, check_count)
    on_error: OnError = setting("raise", check_choice, of=OnError)
    record: Path | None = None
    nominal: float | None = setting(None, check_ratio, optional=True)

    @classmethod
    def of(cls, method: str = "aot", **arguments: object) -> "Settings":
        """Settings from named arguments: fields of this class, and fields of the method.

        Raises:
            ValueError: no such method or field, or a value that it refuses.
        """
        known = {field.name for field in dataclasses.fields(cls)} - {"reducer"}
        given = {name: frozen(literal(value)) for name, value in arguments.items()}
        own: dict[str, Any] = {name: value for name, value in given.items() if name in known and value is not None}
        fields = {name: value for name, value in given.items() if name not in known}
        counted = fields.get("tokens") is not None
        own.setdefault("frames", None if counted else usual_frames(own.get("pretrained", TINY)))
        if "record" in own:
            own["record"] = Path(str(own["record"]))
        return cls(reducer=_reducer(method, fields), **own)

    @property
    def method(self) -> dict[str, Any]:
        """The method by name, with its fields as plain data."""
        if self.reducer is None:
            return {"name": UNFOLDED}
        fields: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self.reducer), default=repr))
        return {"name": self.reducer.name} | fields

    @property
    def retention(self) -> float | None:
        """Share of the tokens that was asked for; 1 unfolded, None if the method has no such field."""
        if self.reducer is None:
            return 1.0
        asked: float | None = getattr(self.reducer, "retention", self.nominal)
        return asked

    @property
    def hash(self) -> str:
        """Identifies the configuration: all settings that can change an answer."""
        asked = ("pretrained", "frames", "force_sample", "template")
        loading = ("dtype", "attention", "quantization")
        return digest({"method": self.method} | {name: getattr(self, name) for name in (*asked, *loading)})


def written(arguments: Mapping[str, object]) -> str:
    """Arguments of `Settings.of` as the text of lmms-eval's ``--model_args``; `split` reads them back.

    A sequence is written in square brackets, in which lmms-eval does not split at commas. Text is quoted, unless
    lmms-eval and `literal` read it as it is.
    """
    pairs = []
    for name, value in arguments.items():
        plain = isinstance(value, str) and _PLAIN.fullmatch(value) and not _NUMBER.fullmatch(value)
        pairs.append(f"{name}={value if plain else _text(literal(value))}")
    return ",".join(pairs)


def split(text: str) -> dict[str, str]:
    """The arguments in a text of ``--model_args``, split as lmms-eval does."""
    pairs = (part.partition("=") for part in _PART.findall(text))
    return {name.strip(): value.strip() for name, _, value in pairs if name.strip()}


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_text, value))}]"
    if not isinstance(value, str):
        return repr(value)
    return "'" + "".join(each if _PLAIN.fullmatch(each) else f"\\U{ord(each):08x}" for each in value) + "'"


def digest(value: object) -> str:
    """Twelve hexadecimal digits of plain data."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _reducer(method: str, fields: Mapping[str, object]) -> Reducer | None:
    if method == UNFOLDED:
        if fields:
            raise ValueError(f"method=none folds nothing and has no field {min(fields)!r}")
        return None
    return get(method, **fields)
