"""A real small language model reads the clips of photographs: ``python -m lab.photos.language --help``.

The model, SmolLM2, stays as it is. A linear projector takes CLIP's features to its word embeddings: first by ridge
regression, from every cell of the training shots to the embedding of the word of the group that the cell shows; then it
is trained through the model for a short time. The model is asked one thing, which of two groups is seen: it reads a
clip and begins to say what the video shows, and the word of a group that is seen should be likelier than that of one
that is not. A bias for each word takes away that some words are likely after anything.

``fit`` writes ``projector.pt``; an interrupted run continues. ``ask`` reads clips that `lab.photos.measure` folded, and
writes ``language.csv``.
"""

import argparse
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lab.photos.clips import Clip, cells_of, compose, frames_of, plain
from lab.photos.groups import GROUPS
from lab.photos.measure import clip
from lab.photos.pool import Pool
from lab.photos.shots import VIEWS
from vidfold.app.writing import Row, write_csv
from vidfold.bench.settings import FULL, exact_methods
from vidfold.replacing import replacing

BEFORE, AFTER = "The video shows these things:", ". So the video shows a"
RIDGE = 1e4
STEPS, BATCH, RATE, BIAS_RATE = 60, 8, 2e-4, 0.02
KEPT = (20, 30, 40, 60)
"""Numbers of tokens of a clip of 8 frames that training reads, chosen at random."""
COLUMNS = ("method", "retention", "clips", "mean", "error", "gap", "gap_error")


class Speaker(nn.Module):
    """A frozen language model behind a linear projector of features (..., D)."""

    mean: Tensor
    scale: Tensor

    def __init__(self, folder: Path, width: int = 768) -> None:
        super().__init__()
        from transformers import AutoModelForCausalLM, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).requires_grad_(False)
        table = self.model.get_input_embeddings().weight
        ids = [torch.tensor(tokenizer(text, add_special_tokens=False).input_ids) for text in (BEFORE, AFTER)]
        self.before, self.after = (table[each].float() for each in ids)
        self.words = torch.tensor([tokenizer(f" {name}", add_special_tokens=False).input_ids[0] for name in GROUPS])
        self.targets = table[self.words].float()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.matrix = nn.Parameter(torch.zeros(width, table.shape[1]))
        self.bias = nn.Parameter(torch.zeros(len(GROUPS)))

    def forward(self, features: Tensor) -> Tensor:
        """How likely the word of every group is next, (B, groups) logits, after clips (B, K, D) of any float dtype."""
        projected = self.targets.mean(0) + (features.float() - self.mean) / self.scale @ self.matrix
        parts = [each.expand(len(features), -1, -1) for each in (self.before, self.after)]
        read = torch.cat([parts[0], projected, parts[1]], 1).to(self.model.dtype)
        logits: Tensor = self.model(inputs_embeds=read, logits_to_keep=1).logits[:, -1, self.words]
        return logits.float() + self.bias

    @property
    def projector(self) -> dict[str, Tensor]:
        """What `fit` and `train` find."""
        return {name: value for name, value in self.state_dict().items() if not name.startswith("model.")}

    @torch.no_grad()
    def fit(self, pool: Pool) -> None:
        """Sets the projector by ridge regression from all cells of a split; every group has the same weight."""
        features = torch.from_numpy(pool.cells).float().flatten(0, 2)
        groups = torch.cat([shown(pool, number) for number in range(len(pool.shots))])
        self.mean, self.scale = features.mean(0), features.std(0)
        inputs = (features - self.mean) / self.scale
        weights = (len(groups) / len(GROUPS) / torch.bincount(groups, minlength=len(GROUPS)))[groups, None]
        centred = self.targets - self.targets.mean(0)
        gram = inputs.T @ (weights * inputs) + RIDGE * torch.eye(inputs.shape[1])
        self.matrix.copy_(torch.linalg.solve(gram, (weights * inputs).T @ centred[groups]))


def shown(pool: Pool, number: int) -> Tensor:
    """Group of every cell of a shot's views, (4 * 49,) int64."""
    scene = plain(pool.shots[number], number)
    groups = torch.tensor([GROUPS.index(each) for each in scene.groups])
    return groups[torch.from_numpy(cells_of(scene)).flatten()].repeat(VIEWS)


def seen(video: Clip) -> NDArray[np.bool_]:
    """Which groups a clip shows, (groups,)."""
    there = {group for scene in video.scenes for group in scene.groups}
    return np.array([group in there for group in GROUPS])


def right(logits: NDArray[np.float32], there: NDArray[np.bool_]) -> float:
    """Share of pairs of a group that is seen and one that is not, where the first one's word is likelier."""
    return float((logits[there][:, None] > logits[~there]).mean())


def sample(
    pool: Pool, number: int, kept: int, rng: torch.Generator, *, mixed: bool = False
) -> tuple[Tensor, NDArray[np.bool_]]:
    """Random tokens (kept, D) of a clip of 8 frames, and the groups that it shows."""
    video = compose(pool.shots, pool.split, number, 8, mixed=mixed)
    features = torch.from_numpy(frames_of(video, pool.cells)).flatten(0, 1)
    return features[torch.rand(len(features), generator=rng).topk(kept).indices.sort().values], seen(video)


def train(speaker: Speaker, pool: Pool, search: Pool, path: Path) -> None:
    """Sets and trains projector and bias: the words of the groups that a clip shows should be alike likely."""
    chosen = [{"params": [speaker.matrix], "lr": RATE}, {"params": [speaker.bias], "lr": BIAS_RATE}]
    optimizer = torch.optim.AdamW(chosen, weight_decay=0.0)
    falling = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, 2 - 2 * step / STEPS))
    saved: dict[str, Any] = torch.load(path) if path.exists() else {"step": 0}
    if saved["step"]:
        speaker.load_state_dict(saved["projector"], strict=False)
        optimizer.load_state_dict(saved["optimizer"])
        falling.load_state_dict(saved["falling"])
    else:
        speaker.fit(pool)
        means = heard(speaker, pool, 48)[0].mean(0)
        speaker.bias.data = means.mean() - means
    for step in range(saved["step"], STEPS):
        rng = torch.Generator().manual_seed(step)
        kept = KEPT[int(torch.randint(len(KEPT), (), generator=rng))]
        batch = [sample(pool, step * BATCH + each, kept, rng, mixed=True) for each in range(BATCH)]
        target = torch.from_numpy(np.stack([there for _, there in batch])).float()
        logits = speaker(torch.stack([features for features, _ in batch]))
        loss = nn.functional.cross_entropy(logits, target / target.sum(1, keepdim=True))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_([speaker.matrix], 1.0)
        optimizer.step()
        falling.step()
        if (step + 1) % 10 == 0:
            states = {"optimizer": optimizer.state_dict(), "falling": falling.state_dict()}
            with replacing(path) as file:
                torch.save({"projector": speaker.projector, "step": step + 1} | states, file)
            print(f"{step + 1}/{STEPS}, loss {float(loss.detach()):.3f}", flush=True)
    print(f"search: {learnt(speaker, search):.3f}", flush=True)


@torch.no_grad()
def heard(speaker: Speaker, pool: Pool, clips: int, kept: int = 40) -> tuple[Tensor, list[NDArray[np.bool_]]]:
    """Logits (clips, groups) for random tokens of the first clips of a split, and what each clip shows."""
    rng = torch.Generator().manual_seed(0)
    parts = [sample(pool, number, kept, rng) for number in range(clips)]
    return torch.cat([speaker(features[None]) for features, _ in parts]), [there for _, there in parts]


def learnt(speaker: Speaker, pool: Pool, clips: int = 60) -> float:
    """`right`, mean over the first clips of a split."""
    logits, there = heard(speaker, pool, clips)
    return float(np.mean([right(own, each) for own, each in zip(logits.numpy(), there, strict=True)]))


@torch.inference_mode()
def ask(speaker: Speaker, pool: Pool, folded: Path, clips: int, chosen: Sequence[tuple[str, float]]) -> Iterator[Row]:
    """A row for all tokens and for every method at every retention."""
    found = np.zeros((len(chosen), clips))
    for number in range(clips):
        tokens, there = torch.load(folded / f"{number:04d}.pt"), seen(clip(pool, number))
        for place, setting in enumerate(chosen):
            found[place, number] = right(speaker(tokens[setting][0][None])[0].numpy(), there)
        print(f"asked {number + 1}/{clips}", flush=True)
    for (method, share), own in zip(chosen, found, strict=True):
        gap, root = own - found[0], np.sqrt(clips)
        numbers = (own.mean(), own.std(ddof=1) / root, gap.mean(), gap.std(ddof=1) / root)
        told = (method, f"{share:g}", str(clips), *(f"{value:.4f}" for value in numbers))
        yield dict(zip(COLUMNS, told, strict=True))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m lab.photos.language", description=__doc__)
    parser.add_argument("what", choices=("fit", "ask"))
    parser.add_argument("--data", type=Path, required=True, help="folder that lab.real.fetch prepared")
    parser.add_argument("--encoded", type=Path, required=True, help="folder that lab.photos.encode wrote")
    parser.add_argument("--model", type=Path, required=True, help="SmolLM2: a folder or hub id")
    parser.add_argument("--out", type=Path, required=True, help="folder for projector.pt and language.csv")
    parser.add_argument("--folded", type=Path, help="folder of clips that lab.photos.measure folded")
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--methods", nargs="+", default=list(exact_methods()), help="default: all with an exact budget")
    parser.add_argument("--retention", type=float, nargs="+", default=[0.1])
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    speaker, path = Speaker(chosen.model), chosen.out / "projector.pt"
    try:
        if chosen.what == "fit":
            pool, search = (Pool(chosen.data, chosen.encoded, split) for split in ("train", "search"))
            train(speaker, pool, search, path)
            return
        if chosen.folded is None or not path.exists():
            raise ValueError(f"ask needs --folded, and {str(path)!r}, which fit writes")
        speaker.load_state_dict(torch.load(path)["projector"], strict=False)
        asked = [(FULL.method, FULL.retention), *product(chosen.methods, chosen.retention)]
        rows = ask(speaker, Pool(chosen.data, chosen.encoded, "final"), chosen.folded, chosen.clips, asked)
        write_csv(chosen.out / "language.csv", COLUMNS, rows)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
