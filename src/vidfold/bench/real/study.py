"""Measure methods on the features of many videos; every video is saved at once, and a run continues."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from vidfold.bench.real.cache import Encoded, encoded, sha256
from vidfold.bench.real.measures import Subject, Values, found, joined, named, represented, shots
from vidfold.bench.real.names import Names
from vidfold.bench.real.tower import Tower
from vidfold.bench.records import Outcomes
from vidfold.bench.run import Watch
from vidfold.bench.settings import Fold, Setting

SHARES = (1 / 16, 2 / 16, 4 / 16, 9 / 16)
"""Of the frames, for the shots of a joined video; their order changes from one to the next."""
RIVALS = 64
"""Tokens of every video for which regions of the other videos may be mistaken."""


@dataclass(frozen=True, eq=False)
class Study:
    """What is measured on what.

    Attributes:
        tower: makes the features.
        videos: SHA-256 -> path of the files, in the order in which they are measured.
        settings: methods that fold before a language model; of those at one retention, the first is the base.
        frames: number of frames of every video.
        cache: folder of encoded videos.
        names: to name tokens with, or None.
        cuts: file name -> seconds at which a shot ends; a file that is not there is one shot.
        sources: file name -> where it is from; a file that is not there is a source of its own.
    """

    tower: Tower
    videos: Mapping[str, Path]
    settings: tuple[Setting, ...]
    frames: int
    cache: Path
    names: Names | None
    cuts: Mapping[str, Sequence[float]]
    sources: Mapping[str, str]

    def video(self, digest: str) -> Encoded:
        """An encoded video."""
        return encoded(self.tower, self.videos[digest], self.frames, self.cache, digest)

    def source(self, subject: str) -> str:
        """Where a measured video is from, by its SHA-256; joined shots of several videos are a source of their own."""
        return self.sources.get(self.videos[subject].name, subject) if subject in self.videos else subject

    @property
    def archive(self) -> str:
        """Name of the file with the values of every video, which has a digest of all that changes them."""
        names = None if self.names is None else self.names.texts.tolist()
        known = (self.tower.fingerprint, self.frames, [*self.videos], names, sorted(self.cuts.items()))
        return f"{Path(self.tower.name).name}-{hashlib.sha256(repr(known).encode()).hexdigest()[:12]}.npz"


def files(folder: Path, clips: int | None) -> dict[str, Path]:
    """SHA-256 -> path of the files of a folder, the first ``clips`` in the order of the SHA-256.

    The order is as good as random, and it is always the same.

    Raises:
        ValueError: there is no such folder, or it has no files.
    """
    if not folder.is_dir() or not (every := [each for each in folder.iterdir() if each.is_file()]):
        raise ValueError(f"--videos must be a folder with video files, got {str(folder)!r}")
    return dict(sorted((sha256(path), path) for path in every)[:clips])


def encode(study: Study, watch: Watch | None = None) -> tuple[Study, dict[str, str]]:
    """Encode what the cache lacks.

    Returns:
        The study with the videos that can be read, and file name -> reason for the others.

    Raises:
        ValueError: no video can be read.
        OSError: the cache cannot be written.
    """
    skipped = dict[str, str]()
    for done, (digest, path) in enumerate(study.videos.items()):
        try:
            study.video(digest)
        except ValueError as error:
            skipped[path.name] = str(error)
        if watch is not None:
            watch(done + 1, len(study.videos))
    videos = {digest: path for digest, path in study.videos.items() if path.name not in skipped}
    if not videos:
        raise ValueError(f"none of {len(skipped)} files can be read as a video: {next(iter(skipped.values()))}")
    return replace(study, videos=videos), skipped


def short(study: Study) -> list[str]:
    """Names of the videos with fewer frames than asked for."""
    return [path.name for digest, path in study.videos.items() if study.video(digest).tokens.frames < study.frames]


@torch.no_grad()
def run(study: Study, output: Path, watch: Watch | None = None) -> Outcomes:
    """Measure what the folder lacks, on all videos of an encoded study and on joined shots of those with one shot."""
    alone = [digest for digest, path in study.videos.items() if not study.cuts.get(path.name)]
    groups = [alone[start : start + len(SHARES)] for start in range(0, len(alone) - len(SHARES) + 1, len(SHARES))]
    subjects: dict[str, Callable[[], Subject]] = {}
    subjects |= {digest: partial(_whole, study, digest) for digest in study.videos}
    subjects |= {f"joined {place}": partial(_joined, study, group, place) for place, group in enumerate(groups)}
    saved = Outcomes(output / "clips" / study.archive, [*subjects])
    saved.keep([setting.label for setting in study.settings])
    rivals = torch.stack([_sparse(study.video(digest)) for digest in study.videos])
    for place, subject in enumerate(subjects.values()):
        missing = [each for each in study.settings if not saved.has(each.label, place)]
        if missing:
            others = torch.cat([rivals[:place], rivals[place + 1 :]]).flatten(0, 1)
            saved.put(place, _measured(subject(), missing, study.names, others, place))
        if watch is not None:
            watch(place + 1, len(subjects))
    return saved


def _measured(
    subject: Subject, settings: Sequence[Setting], names: Names | None, others: Tensor, seed: int
) -> dict[str, Values]:
    """Values of one subject by the labels of the settings; of joined shots only what is told of shots."""
    measures = [shots(subject)]
    if subject.video is not None:
        measures += [represented(subject), found(subject, others)] + ([named(subject, names)] if names else [])
    units = normalize(subject.tokens.pooled().flatten(0, 1), dim=-1)
    values = {}
    for setting in settings:
        reduction = Fold.of(setting, subject.tokens, seed).reduction
        assert reduction is not None  # the settings fold before a language model
        similar = (units @ normalize(reduction.tokens, dim=-1).T).clamp_(-1, 1)
        kept = {"kept": reduction.retention}
        values[setting.label] = kept | {
            name: value for each in measures for name, value in each(reduction, similar).items()
        }
    return values


def _whole(study: Study, digest: str) -> Subject:
    video = study.video(digest)
    times = video.tokens.timestamps
    assert times is not None  # the cache has them
    starts = np.unique(np.searchsorted(times, study.cuts.get(study.videos[digest].name, ()))).tolist()
    return Subject(video.tokens, tuple(start for start in starts if 0 < start < len(times)), video)


def _joined(study: Study, digests: Sequence[str], turn: int) -> Subject:
    lengths = [max(1, round(share * study.frames)) for share in SHARES]
    turned = lengths[turn % len(lengths) :] + lengths[: turn % len(lengths)]
    return joined([study.video(digest).tokens for digest in digests], turned)


def _sparse(video: Encoded) -> Tensor:
    """`RIVALS` evenly spaced tokens of a video, as unit vectors."""
    tokens = video.tokens.pooled().flatten(0, 1)
    return normalize(tokens[torch.linspace(0, len(tokens) - 1, RIVALS).long()], dim=-1)
