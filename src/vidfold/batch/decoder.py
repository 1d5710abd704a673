"""Processes that decode videos: one that hangs or crashes is replaced, and the model goes on meanwhile."""

import gc
import os
import pickle
import subprocess
import sys
import threading
import time
from contextlib import suppress
from queue import SimpleQueue
from typing import BinaryIO

from vidfold.batch.decoding import Cut, decoded, reason_of
from vidfold.batch.processes import ended_by
from vidfold.batch.scratch import Scratch
from vidfold.video import Frames

PROGRAM = "from vidfold.batch.decoder import serve; serve()"


class Decoder:
    """A process that decodes one video at a time.

    It is a new Python without torch, so it starts in a second and takes little memory. It ends with its standard input,
    that is, with the process that started it.

    Attributes:
        timeout: seconds that a video may take.
        retries: how often a video is tried again that ended the process.
    """

    def __init__(self, timeout: float, retries: int) -> None:
        self.timeout, self.retries, self._ready = timeout, retries, False
        self._start()

    def frames(self, cut: Cut) -> Frames:
        """Decode; a ValueError says why a video cannot be."""
        reason = ""
        for _ in range(self.retries + 1):
            if self._process.returncode is not None:
                self._start()
            begin = time.monotonic()
            try:
                if not self._ready:
                    self._ready = pickle.load(self._output)
                    begin = time.monotonic()
                found = self._asked(cut)
            except (EOFError, OSError, MemoryError, pickle.UnpicklingError):
                slow = time.monotonic() >= begin + self.timeout
                self.close()
                ended = f"ended the process that decoded it: {ended_by(self._process.returncode)}"
                reason = f"was not decoded within {self.timeout:g} s" if slow else ended
            else:
                if isinstance(found, str):
                    raise ValueError(found)
                return found
        raise ValueError(f"{cut.path!r} {reason}, {self.retries + 1} times")

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._input, self._output):
            with suppress(OSError):  # what it was not told
                pipe.close()

    def _start(self) -> None:
        path = os.pathsep.join(each for each in sys.path if each)
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": path},
            process_group=0,  # Ctrl-C is for the process that runs all
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        self._ready = False  # it imports what it needs

    def _asked(self, cut: Cut) -> Frames | str:
        """The frames, or why there are none."""
        timer = threading.Timer(self.timeout, self._process.kill)
        timer.start()
        try:
            pickle.dump(cut, self._input)
            self._input.flush()
            found: Frames | str = pickle.load(self._output)
            return found
        finally:
            timer.cancel()


def serve() -> None:
    """Decode what comes in, until the input ends."""
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    scratch, cuts = Scratch(), SimpleQueue[Cut]()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, cuts, scratch), daemon=True).start()
    gc.freeze()  # what the imports made
    with suppress(BrokenPipeError):
        _tell(output, True)
        while True:
            try:
                found: Frames | str = decoded(cuts.get(), scratch.folder)
            except Exception as error:  # whatever is wrong with a file, the next one may be good
                found = reason_of(error)
            _tell(output, found)
            del found
            gc.collect()  # a codec is part of a cycle, and keeps its threads until it is collected
    scratch.delete()
    os._exit(0)  # at an orderly end the interpreter would abort, since the other thread holds the standard input


def _tell(output: BinaryIO, value: object) -> None:
    pickle.dump(value, output, protocol=5)
    output.flush()


def _listen(source: BinaryIO, cuts: "SimpleQueue[Cut]", scratch: Scratch) -> None:
    """Pass on what comes in. When that ends, so does the process, whatever it decodes."""
    with suppress(EOFError, pickle.UnpicklingError):
        while True:
            cuts.put(pickle.load(source))
    scratch.delete()
    os._exit(0)
