"""One worker: a model, its decoders, and the videos between them. Both engines run it."""

import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from vidfold import models
from vidfold.app.loading import load
from vidfold.batch.answering import Answerer, Broken, Shown
from vidfold.batch.decoder import Decoder
from vidfold.batch.decoding import Cut, reason_of
from vidfold.batch.rows import Row, failed
from vidfold.batch.settings import Resources, Settings
from vidfold.batch.tasks import Task
from vidfold.planning import paid_for
from vidfold.planning.costs import cells_of
from vidfold.reading.fingerprint import weights_fingerprint
from vidfold.video import Frames

Rows = list[Row]


class Worker:
    """Answers videos as they come: while the model answers some, processes decode the next ones.

    A video waits in three places, each of which the number of videos given at once bounds: for a decoder, being
    decoded, and for the model, which takes up to ``batch_size`` of those that are ready.

    Attributes:
        fingerprint: of the model's weights.

    Raises:
        ValueError: a model that does not load.
    """

    def __init__(self, settings: Settings, resources: Resources, device: str | None = None) -> None:
        self._settings, self._resources = settings, resources
        decoders = resources.decoders or 1
        self._idle: queue.SimpleQueue[Decoder] = queue.SimpleQueue()
        for _ in range(decoders):  # they start while the model loads
            self._idle.put(Decoder(resources.timeout, resources.retries))
        loaded = load(
            settings.model,
            device=device or resources.device,
            dtype=settings.dtype,
            attention=settings.attention,
            quantization=settings.quantization,
            trust_remote_code=settings.trust_remote_code,
        )
        self._family = models.family(loaded.model)
        self._family.check_needs(frozenset(settings.reducer.needs))
        self._frames = paid_for(settings.tokens, cells_of(loaded)) if settings.tokens else settings.usual
        self.fingerprint = weights_fingerprint(loaded.model)[:12]
        self._answerer = Answerer(loaded, settings, resources.batch_size, self.fingerprint)
        self._ready: queue.SimpleQueue[tuple[Shown, Future[Rows]]] = queue.SimpleQueue()
        self._threads = ThreadPoolExecutor(decoders, thread_name_prefix="decode")
        threading.Thread(target=self._answer, daemon=True, name="model").start()

    def submit(self, task: Task) -> "Future[Rows]":
        """The rows of a video, once they are there; `Broken` where the process must end."""
        future: Future[Rows] = Future()
        self._threads.submit(self._decode, task, future)
        return future

    def _decode(self, task: Task, future: "Future[Rows]") -> None:
        """Decode a video and line it up for the model."""
        decoder = self._idle.get()
        begin = time.perf_counter()
        try:
            frames = self._shown(decoder, task)
        except Exception as error:
            future.set_result(failed(task, self._settings.hash, self.fingerprint, reason_of(error)))
        else:
            self._ready.put((Shown(task, frames, time.perf_counter() - begin), future))
        finally:
            self._idle.put(decoder)

    def _shown(self, decoder: Decoder, task: Task) -> Frames:
        """The frames that the model is shown: of short videos, some models want fewer."""
        cut = Cut(task.path, self._frames, self._settings.choose, task.start, task.end)
        frames = decoder.frames(cut)
        wanted = self._family.shown_frames(frames.duration, len(frames))
        if wanted == len(frames):
            return frames
        return decoder.frames(Cut(task.path, wanted, self._settings.choose, task.start, task.end))

    def _answer(self) -> None:
        """Answer what is ready, for ever."""
        while True:
            batch = [self._ready.get()]
            while len(batch) < self._resources.batch_size and not self._ready.empty():
                batch.append(self._ready.get())
            futures: Sequence[Future[Rows]] = [future for _, future in batch]
            try:
                answers = self._answerer.answer([shown for shown, _ in batch])
            except Broken as error:
                for future in futures:
                    future.set_exception(error)
                return
            for future, rows in zip(futures, answers, strict=True):
                future.set_result(rows)
