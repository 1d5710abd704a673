"""Train the tiny model from scratch: ``python -m lab.train --out DIR``."""

import argparse
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, distributed
from torch.multiprocessing.spawn import start_processes

from lab.architecture import SHIPPED, TinyConfig
from lab.export import export
from lab.learner import Learner
from lab.packing import pack
from lab.recipe import RECIPE, TWIN, Stage
from lab.scoring import accuracy
from vidfold.tiny.worlds import WORLDS

CHECKPOINT = "checkpoint.pt"
MODEL = "model"

_VALIDATIONS = ((8, 1.0), (32, 1.0), (32, 0.1))  # frames and share of tokens that validation measures

log = logging.getLogger("vidfold.tiny")


@dataclass(frozen=True)
class Run:
    """One training run; the same values give the same weights on the same kind of machine.

    ``processes`` processes share every batch and use ``threads`` threads each.  ``init`` is a checkpoint with initial
    weights; ``resume`` continues the one in ``out``.  ``stop`` ends the run after that many steps and saves a
    checkpoint.  ``validation`` is the number of search clips of each world that are scored after a language stage.
    """

    out: Path
    recipe: tuple[Stage, ...] = RECIPE
    sizes: TinyConfig = SHIPPED
    device: str = "cpu"
    processes: int = 1
    threads: int = 1
    bfloat16: bool = True
    init: Path | None = None
    resume: bool = False
    stop: int | None = None
    save_every: int = 200
    log_every: int = 25
    validation: int = 160

    def __post_init__(self) -> None:
        for stage in self.recipe:
            if stage.batch % self.processes:
                raise ValueError(f"{self.processes} processes cannot share a batch of {stage.batch} ({stage.trains})")
        if self.processes > 1 and self.device != "cpu":
            raise ValueError(f"several processes need device 'cpu'; got {self.device!r} with {self.processes}")
        if self.resume and not (self.out / CHECKPOINT).exists():
            raise ValueError(f"nothing to resume: {self.out / CHECKPOINT} does not exist")


def train(run: Run) -> None:
    """Trains; writes ``checkpoint.pt`` and, after the last stage, the transformers folder ``model`` to ``out``."""
    run.out.mkdir(parents=True, exist_ok=True)
    if run.processes == 1:
        _work(0, run, None)
        return
    with TemporaryDirectory() as folder:
        arguments = (run, f"file://{folder}/rendezvous")
        start_processes(_work, arguments, nprocs=run.processes)  # type: ignore[no-untyped-call]


def _work(rank: int, run: Run, rendezvous: str | None) -> None:
    logging.basicConfig(level=logging.INFO if rank == 0 else logging.WARNING, format="%(asctime)s %(message)s")
    torch.set_num_threads(run.threads)
    if rendezvous is None:
        _train(rank, run)
        return
    distributed.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=run.processes)
    try:
        _train(rank, run)
    finally:
        distributed.destroy_process_group()


def _train(rank: int, run: Run) -> None:
    learner = Learner(run.sizes, torch.device(run.device), run.bfloat16)
    number, step, optimizers = _restore(run, learner)
    left = run.stop
    while number < len(run.recipe):
        stage = run.recipe[number]
        learner.enter(stage, optimizers)
        meter = _Meter(stage, run.log_every)
        while step < stage.steps and left != 0:
            batch = pack(stage.seeds(step, rank, run.processes), run.sizes.grid, stage.length(step))
            measures = learner.step(stage, step, batch, run.processes)
            step, left = step + 1, None if left is None else left - 1
            meter.add(step, measures)
            if rank == 0 and step % run.save_every == 0:
                _save(run, learner, number, step)
        if step < stage.steps:
            break
        number, step, optimizers = number + 1, 0, None
        if rank == 0:
            _save(run, learner, number, step)
            _validate(run, learner, stage)
    if rank == 0 and left == 0:
        _save(run, learner, number, step)
    if rank == 0 and number == len(run.recipe):
        export(learner.model, run.sizes.patch, run.out / MODEL)
        log.info("wrote %s", run.out / MODEL)


def _restore(run: Run, learner: Learner) -> tuple[int, int, list[dict[str, object]] | None]:
    """Stage, step and optimizer states to start from."""
    if run.resume:
        saved = torch.load(run.out / CHECKPOINT, map_location=run.device)
        learner.load(saved)
        return saved["stage"], saved["step"], saved["optimizers"] if saved["step"] else None
    if run.init is not None:
        learner.load(torch.load(run.init, map_location=run.device))
    return 0, 0, None


def _save(run: Run, learner: Learner, number: int, step: int) -> None:
    state = learner.state() | {
        "stage": number,
        "step": step,
        "optimizers": [optimizer.state_dict() for optimizer in learner.optimizers],
    }
    partial = run.out / f"{CHECKPOINT}.partial"
    torch.save(state, partial)
    partial.replace(run.out / CHECKPOINT)


def _validate(run: Run, learner: Learner, stage: Stage) -> None:
    if stage.trains != "language" or not run.validation:
        return
    for world in WORLDS:
        for frames, share in _VALIDATIONS:
            right = accuracy(learner.model, run.sizes.grid, run.validation, share, frames, world)
            log.info("%s world, %d frames, %.0f %% of the tokens: %s", world, frames, 100 * share, _formatted(right))


class _Meter:
    """Running means of a stage's losses and accuracies, logged every ``every`` steps."""

    def __init__(self, stage: Stage, every: int) -> None:
        self.stage, self.every = stage, every
        self.means: dict[str, Tensor] = {}
        self.began, self.steps = time.monotonic(), 0

    def add(self, step: int, measures: dict[str, Tensor]) -> None:
        self.steps += 1
        for name, value in measures.items():
            self.means[name] = self.means.get(name, value).lerp(value, max(0.04, 1 / self.steps))
        if step % self.every == 0:
            rate = self.steps * self.stage.batch / (time.monotonic() - self.began)
            shown = _formatted({name: mean.item() for name, mean in self.means.items()})
            log.info("%s %d/%d, %.0f clips/s: %s", self.stage.trains, step, self.stage.steps, rate, shown)


def _formatted(values: dict[str, float]) -> str:
    return " ".join(f"{name} {value:.3f}" for name, value in values.items())


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m lab.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint and the finished model")
    parser.add_argument("--device", default="cpu", help="torch device (default: cpu)")
    parser.add_argument("--processes", type=int, default=1, help="processes that share every batch, CPU only")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each process")
    parser.add_argument("--float32", action="store_true", help="no bfloat16 autocast")
    parser.add_argument("--init", type=Path, help="checkpoint with the initial weights")
    parser.add_argument(
        "--stages", nargs="+", choices=("vision", "language"), help="only these; give the same ones with --resume"
    )
    parser.add_argument("--twin", action="store_true", help="train the twin, on whole videos only; needs --init")
    parser.add_argument("--resume", action="store_true", help="continue the checkpoint in --out")
    parser.add_argument("--stop", type=int, help="end after this many steps and save a checkpoint")
    chosen = parser.parse_args(arguments)
    if chosen.twin and chosen.init is None:
        parser.error("--twin starts from a finished model: give its checkpoint as --init")
    recipe = TWIN if chosen.twin else RECIPE
    try:
        run = Run(
            out=chosen.out,
            recipe=tuple(stage for stage in recipe if chosen.stages is None or stage.trains in chosen.stages),
            device=chosen.device,
            processes=chosen.processes,
            threads=chosen.threads,
            bfloat16=not chosen.float32,
            init=chosen.init,
            resume=chosen.resume,
            stop=chosen.stop,
        )
    except ValueError as error:
        parser.error(str(error))
    train(run)


if __name__ == "__main__":
    main()
