"""Processes that end with the one that started them, however that ends."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any


def started(work: Callable[..., None], *arguments: Any, shared: Sequence[str]) -> tuple[Any, Connection]:
    """A new process that runs ``work(connection, *arguments)``, and the connection to it; it ends with this process.

    Modules that are ``shared`` are imported once for all such processes.
    """
    # Forks of a small process of its own: quick, and safe beside threads and GPUs. Windows has none.
    kinds = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in kinds else "spawn")
    if "forkserver" in kinds:
        context.set_forkserver_preload(list(shared))
    here, there = context.Pipe()
    process = context.Process(target=_begun, args=(work, there, arguments), daemon=False)  # type: ignore[attr-defined]
    process.start()
    there.close()
    return process, here


def ended_by(code: int | None) -> str:
    """Why a process ended, in words."""
    if code is None or code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in {each.value for each in signal.Signals} else f"signal {-code}"
    return f"{name}, as when memory runs out" if name == "SIGKILL" else name


def _begun(work: Callable[..., None], connection: Connection, arguments: tuple[Any, ...]) -> None:
    """The beginning of a process: it ends when the one that started it does, and Ctrl-C is for that one alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    work(connection, *arguments)
