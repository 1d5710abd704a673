"""The output folder: which rows are there, and how new ones get in so that none is lost and none is there twice.

A row is first appended to a journal of JSON lines. From there, a thousand at a time and all at the end, rows move to a
Parquet part: it is written beside its place, synced and renamed, and then the journal is emptied. One process at a
time, which holds the lock, writes. So whatever dies at whatever moment:

- a part is there as a whole or not at all, and no key is in two parts;
- a row that is both in a part and in the journal, where a process died between the rename and the emptying, counts
  once: the next process takes it out of the journal;
- a row whose line in the journal was cut short is asked again.
"""

import json
import os
import socket
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Self

from vidfold import extras
from vidfold.app.writing import write_text
from vidfold.batch.output import JOURNAL, RUN, SETTINGS, journal, keys_of, locked, parts, read_settings
from vidfold.batch.rows import Row, schema
from vidfold.batch.settings import Settings
from vidfold.replacing import replacing

ROWS = 1000
"""Of a part."""
PATIENCE = 1.0
"""Seconds to wait for the lock: who asks for the status of a folder holds it for a moment."""
SYNC = 1.0
"""Seconds after which the journal is synced; a power cut loses at most the rows since, and these are asked again."""


class Ledger:
    """The rows of an output folder, to add to. Use it in a ``with`` block: no other process can write meanwhile.

    Attributes:
        folder: the folder.
        settings: of all rows.
        done: keys of all rows.
        failed: keys of those with an error.

    Raises:
        ValueError: a folder that another process writes to, that holds rows of other settings, or a damaged part.
        OSError: a folder that cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str], settings: Settings) -> None:
        if "://" in os.fspath(folder):
            raise ValueError(f"the output must be a folder of this machine, or a mounted one, got {folder!r}")
        self.folder, self.settings = Path(folder), settings
        self.done, self.failed = set[str](), set[str]()
        self._journal: list[Row] = []
        self._file, self._model = -1, ""
        self._synced = 0.0

    def __enter__(self) -> Self:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = locked(self.folder, PATIENCE)
        except OSError as error:
            raise OSError(f"cannot write to {str(self.folder)!r}: {error.strerror or error}") from error
        try:
            self._check_settings()
            for path in self.folder.glob("part-*.parquet.part"):  # a process died while it wrote this one
                path.unlink()
            for path in parts(self.folder):
                for key, reason in keys_of(path):
                    self._note(key, reason)
            self._journal = [each for each in journal(self.folder) if each["key"] not in self.done]
            for each in self._journal:
                self._note(each["key"], each["error"])
            self._rewrite()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, kind: object, error: object, _: object) -> None:
        try:
            if not isinstance(error, OSError):  # such as a full disk: what the journal holds is kept there
                self._seal()
        finally:
            os.close(self._file)
            self._lock.release()

    def add(self, rows: Sequence[Row]) -> list[Row]:
        """Add those rows whose keys are new, and return them.

        Raises:
            OSError: such as a full disk; rows before these are kept.
        """
        new = [each for each in rows if each["key"] not in self.done]
        lines = b"".join(json.dumps(each).encode() + b"\n" for each in new)
        try:
            while lines:
                lines = lines[os.write(self._file, lines) :]
            if time.monotonic() > self._synced + SYNC:
                os.fsync(self._file)
                self._synced = time.monotonic()
        except OSError as error:
            raise OSError(
                f"cannot write to {str(self.folder)!r}: {error.strerror or error}. No row is lost: make room, and run "
                "the same command again"
            ) from error
        for each in new:
            self._note(each["key"], each["error"])
        self._journal += new
        if len(self._journal) >= ROWS:
            self._seal()
        return new

    def forget_errors(self, wanted: Collection[str]) -> int:
        """Take out those of the wanted rows that have an error, to ask them again; returns how many."""
        gone = self.failed & set(wanted)
        pq = extras.load("pyarrow.parquet", "batch")
        pc = extras.load("pyarrow.compute", "batch")
        for path in parts(self.folder) if gone else ():
            if any(key in gone for key, _ in keys_of(path)):
                table = pq.read_table(path)
                kept = table.filter(pc.invert(pc.is_in(table["key"], value_set=_texts(gone))))
                self._write(path, kept) if len(kept) else path.unlink()
        self._journal = [each for each in self._journal if each["key"] not in gone]
        self._rewrite()
        self.done -= gone
        self.failed -= gone
        return len(gone)

    def begin(self, rows: int) -> None:
        """Note what a run wants: so many rows in all."""
        facts = {"rows": rows, "process": os.getpid(), "host": socket.gethostname(), "began": time.time()}
        write_text(self.folder / RUN, json.dumps(facts) + "\n")

    def check_model(self, fingerprint: str) -> None:
        """Note the weights that answer; a ValueError where others answered before."""
        if fingerprint == self._model:
            return
        record = json.loads((self.folder / SETTINGS).read_text(encoding="utf-8"))
        if record.setdefault("fingerprint", fingerprint) != fingerprint:
            raise ValueError(
                f"the weights of {self.settings.model!r} are not those that wrote the rows in {str(self.folder)!r}: "
                "give another --output"
            )
        write_text(self.folder / SETTINGS, json.dumps(record, indent=2) + "\n")
        self._model = fingerprint

    def _note(self, key: str, error: str | None) -> None:
        self.done.add(key)
        if error is not None:
            self.failed.add(key)

    def _check_settings(self) -> None:
        path, own = self.folder / SETTINGS, self.settings.record()
        if path.exists():
            there = read_settings(self.folder)
            names = [name for name in there | own if there.get(name) != own.get(name)]
            differ = [f"{name} is {there.get(name)} there and {own.get(name)} here" for name in names]
            if differ:
                raise ValueError(
                    f"{str(self.folder)!r} holds answers of other settings: {'; '.join(differ)}. Give another "
                    "--output, or the settings of this one"
                )
        elif parts(self.folder):
            raise ValueError(f"{str(self.folder)!r} holds parts without {SETTINGS}: give another --output")
        else:
            write_text(path, json.dumps({"hash": self.settings.hash, "settings": own}, indent=2) + "\n")

    def _seal(self) -> None:
        """Move the rows of the journal to a part."""
        if not self._journal:
            return
        pa = extras.load("pyarrow", "batch")
        last = max((int(path.stem.removeprefix("part-")) for path in parts(self.folder)), default=0)
        table = pa.Table.from_pylist(self._journal, schema=schema())
        self._write(self.folder / f"part-{last + 1:06d}.parquet", table)
        self._journal = []
        os.ftruncate(self._file, 0)

    def _write(self, path: Path, table: Any) -> None:
        with replacing(path) as file:
            extras.load("pyarrow.parquet", "batch").write_table(table, file, compression="zstd")
        sync_folder(self.folder)

    def _rewrite(self) -> None:
        """Write the journal anew, and open it."""
        if self._file >= 0:
            os.close(self._file)
        write_text(self.folder / JOURNAL, "".join(json.dumps(each) + "\n" for each in self._journal))
        sync_folder(self.folder)
        self._file = os.open(self.folder / JOURNAL, os.O_WRONLY | os.O_APPEND)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder outlast a power cut, where the system can (POSIX)."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _texts(values: Collection[str]) -> Any:
    pa = extras.load("pyarrow", "batch")
    return pa.array(list(values), pa.string())
