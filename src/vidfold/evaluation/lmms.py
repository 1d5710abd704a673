"""The model ``vidfold`` of lmms-eval: it passes requests to `vidfold.evaluation.answering` and returns the answers.

    lmms-eval --model vidfold --tasks mvbench --output_path out \\
        --model_args pretrained=llava-hf/llava-onevision-qwen2-7b-ov-hf,method=aot,retention=0.10,frames=32

``--model_args`` are the fields of `vidfold.evaluation.settings.Settings` and those of the method; ``method=none`` does
not fold. A sequence is written in square brackets, such as ``layers=[8,16,24]``. Only lmms-eval imports this module,
through `vidfold.evaluation.plugin`.

It follows lmms-eval's own classes of the same backbone (``llava_onevision``, ``llava_vid``) in prompts, in the frames
they choose, in greedy decoding to the end of the turn, and in answering likelihoods with the mean loss of the answer
and the end of its turn. It differs in this:

- It takes batches.
- PyAV decodes the frames; videos of variable frame rate are sampled evenly in time, not by frame number. Pictures of a
  folder are read in the order of their names.
- A video that cannot be read stops the run (``on_error=raise``), or is reported and gets an empty answer
  (``on_error=skip``), which the task scores. ``llava_onevision`` then asks without the video.
- Tasks with special questions for ``llava_vid`` (Video-MME's "The best answer is:") ask their default questions.
- The dtype is the checkpoint's own; ``dtype=float16`` is theirs.
- Other families (Qwen-VL, InternVL) get the same frames, through their own chat template and processor.

Several processes, started by ``accelerate launch -m lmms_eval``, each hold a model and share the samples. An
interrupted run reads its samples from the records. lmms-eval's response cache (``--use_cache``) works too; it keeps
generated answers once all requests are answered, and no likelihoods.
"""

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from lmms_eval.api.instance import GenerationResult, Instance
from lmms_eval.api.model import lmms
from loguru import logger

from vidfold import extras
from vidfold.app.loading import load
from vidfold.app.progress import Progress
from vidfold.evaluation.answering import Evaluator, Request
from vidfold.evaluation.calling import Result
from vidfold.evaluation.records import Records
from vidfold.evaluation.settings import Settings


class Vidfold(lmms):  # type: ignore[misc]
    """A model that vidfold folds; see the module.

    Args:
        batch_size: of lmms-eval.
        device: of lmms-eval; with several processes each takes a GPU of its own.
        max_batch_size: of lmms-eval, for a batch size that it finds itself; not supported.
        arguments: ``--model_args``.
    """

    is_simple = True

    def __init__(
        self,
        batch_size: int | str = 1,
        device: str | None = None,
        max_batch_size: int | None = None,
        **arguments: object,
    ) -> None:
        super().__init__()
        with _one_line():
            if max_batch_size is not None or not str(batch_size).isdecimal():
                raise ValueError(f"batch_size must be a number, got {batch_size!r}; it is not found automatically")
            arguments.setdefault("record", _output_path(sys.argv))
            settings = Settings.of(**{"batch_size": int(batch_size), "device": device} | arguments)  # type: ignore[arg-type]
            # Processes wait for each other only at the end of a task, which may take days.
            self.accelerator = Accelerator(kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(weeks=52))])
            self._rank, self._world_size = self.accelerator.process_index, self.accelerator.num_processes
            place = settings.device
            if self._world_size > 1 and self.accelerator.device.type == "cuda":
                place = str(self.accelerator.device)
            loaded = load(
                settings.pretrained,
                device=place,
                dtype=settings.dtype,
                attention=settings.attention,
                quantization=settings.quantization,
                trust_remote_code=settings.trust_remote_code,
            )
            if settings.record is None:
                logger.warning("vidfold keeps no record of the samples: give --output_path or record=FOLDER")
            self._evaluator = Evaluator(
                loaded,
                settings,
                Records(settings.record, settings.hash, self._rank),
                watch=Progress("answering sample") if self._rank == 0 else lambda *_: None,
                complain=partial(logger.error, "{}"),
            )

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self._evaluator.loaded.model.device
        return device

    def generate_until(self, requests: Sequence[Instance]) -> list[Result]:
        """Generated answers."""
        with _one_line():
            return self._evaluator.answer([self._asked(each, generation=each.args[1]) for each in requests])

    def loglikelihood(self, requests: Sequence[Instance]) -> list[GenerationResult]:
        """Mean losses of the answers given, which lmms-eval's tasks compare, and whether each is the greedy one."""
        with _one_line():
            answered = self._evaluator.answer([self._asked(each, answer=self._target(each)) for each in requests])
        return [GenerationResult(text=_Pair(cast("tuple[float, bool]", each))) for each in answered]

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> list[Result]:
        """Not supported."""
        with _one_line():
            raise ValueError(f"{requests[0].task_name} asks in several rounds, which vidfold does not support")

    def clean(self) -> None:
        """End the run: write its summary, and free the model."""
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            self._evaluator.write_summary()
        super().clean()

    def _asked(self, instance: Instance, **more: Any) -> Request:
        text, _, visual, doc, task, split = instance.args
        padding = (instance.metadata or {}).get("__padding_only__", False)
        video = partial(self._video, visual, task, split, doc)
        return Request(task, split, doc, text, video, recorded=not padding, **more)

    def _target(self, instance: Instance) -> str:
        _, target, _, doc, task, split = instance.args
        return target if isinstance(target, str) else str(target(self.task_dict[task][split][doc]))

    def _video(self, visual: Any, task: str, split: str, doc: int) -> str:
        found = visual(self.task_dict[task][split][doc]) or []
        if len(found) != 1 or not isinstance(found[0], str):
            kinds = ", ".join(type(each).__name__ for each in found) or "nothing"
            raise ValueError(f"{task} shows {kinds}: vidfold evaluates tasks that show one video file a question")
        return str(found[0])


class _Pair(tuple[float, bool]):
    """A loss and whether the answer is greedy, in the form in which lmms-eval 0.7.3 hands it on to tasks.

    lmms-eval turns a plain pair into text, both new and from its response cache. It passes on unchanged what looks like
    generated text, and does not cache what strips to nothing. Likelihoods are resumed from vidfold's own records.
    """

    def strip(self) -> str:
        """The empty text, so that it is not cached."""
        return ""


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    """End with one line for errors of the user; lmms-eval would print a traceback and exit with 0."""
    try:
        yield
    except (ValueError, OSError, extras.MissingExtra) as error:
        raise SystemExit(f"vidfold: {' '.join(str(error).split())}") from error


def _output_path(command: Sequence[str]) -> Path | None:
    """Where the running lmms-eval command writes its results; it does not tell its models."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--output_path", type=Path)
    path: Path | None = parser.parse_known_args(command[1:])[0].output_path
    return path
