"""Which model a saved file is of, noted when it is written and checked when it is opened."""

import importlib.metadata
from typing import Any

from vidfold.models import Family
from vidfold.reading.container import Container
from vidfold.reading.fingerprint import weights_fingerprint

FORMAT = 1
"""Of saved files; another one is refused."""


def origin(family: Family, kind: str, model_name: str | None = None) -> dict[str, Any]:
    """What a file of this kind says of the model; ``model_name`` None is what its config says."""
    model = family.model
    return {
        "format": FORMAT,
        "kind": kind,
        "model": model_name or str(getattr(model.config, "name_or_path", "")),
        "dtype": str(model.dtype).removeprefix("torch."),
        "family": family.model_type,
        "weights": weights_fingerprint(model),
        "versions": _versions(),
    }


def check_origin(file: Container, family: Family, kind: str, parts: dict[str, type]) -> None:
    """Raise a ValueError for a file of another kind, format, version or model, or without ``parts`` of these types."""
    record = file.record
    if record.get("kind") != kind:
        raise ValueError(f"{file.name} is a saved {record.get('kind') or 'something'}, not a {kind}")
    expected = {"format": int, "family": str, "weights": str, "versions": dict} | parts
    for name, form in expected.items():
        if not isinstance(record.get(name), form):
            raise ValueError(f"{file.name} is no saved {kind}: its {name} is {record.get(name)!r}")
    if record["format"] != FORMAT:
        raise ValueError(f"{file.name} has format {record['format']}, not {FORMAT}: read the video again")
    for name, version in _versions().items():
        then = str(record["versions"].get(name))
        if then.split(".")[:2] != version.split(".")[:2]:
            raise ValueError(f"{file.name} was written with {name} {then}, here is {version}: read the video again")
    if record["family"] != family.model_type:
        raise ValueError(f"{file.name} was read by a {record['family']}, not by a {family.model_type}")
    if record["weights"] != weights_fingerprint(family.model):
        raise ValueError(
            f"{file.name} was read by {record.get('model') or 'a model'!r} with other weights, of another revision or "
            "dtype: open it with that model, or read the video again"
        )


def _versions() -> dict[str, str]:
    """Versions of the packages that decide what folded tokens and caches are."""
    return {name: importlib.metadata.version(name) for name in ("vidfold", "transformers")}
