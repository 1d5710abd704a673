"""Names that a tower with a text side gives to single tokens, before and after folding."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from vidfold import extras
from vidfold.bench.real.tower import Tower

PROMPT = "a photo of a {}."
"""What the text side reads of a name."""


@dataclass(frozen=True, eq=False)
class Names:
    """Names to choose from.

    Attributes:
        tower: of CLIP's or SigLIP's form, at the layer before its last one.
        texts: (T, E) unit vectors of the names in the space that pictures and texts share.

    Raises:
        ValueError: a tower or layer that gives no names, or texts of another width than its own.
    """

    tower: Tower
    texts: Tensor

    def __post_init__(self) -> None:
        kind = type(self.tower.model).__name__
        if not self._projects and not hasattr(self.tower.vision, "head"):
            raise ValueError(f"{self.tower.name!r} gives no names: {kind} has no side that it shares with texts")
        if self.tower.depth != len(self.tower.attentions) - 1:
            raise ValueError(f"names need the layer before the last one (--layer -2), got {self.tower.layer}")

    @classmethod
    def load(cls, tower: Tower, names: Path, texts: Path | None = None) -> "Names":
        """Read names (a JSON list), and their vectors from a file (T, E) of numpy or from the tower's text side.

        Raises:
            ValueError: files that cannot be read or do not fit each other, or a tower without text side or its vectors.
        """
        try:
            told = [str(name) for name in json.loads(names.read_text(encoding="utf-8"))]
            vectors = None if texts is None else torch.from_numpy(np.load(texts)).float()
        except (OSError, ValueError) as error:
            raise ValueError(f"names or their vectors cannot be read: {error}") from error
        if vectors is None:
            if not hasattr(tower.model, "get_text_features"):
                raise ValueError(f"{tower.name!r} has no text side: give vectors of the names with --texts FILE.npy")
            vectors = _vectors(tower, told)
        if len(vectors) != len(told):
            raise ValueError(f"{len(told)} names, but {len(vectors)} vectors in {str(texts)!r}")
        return cls(tower, normalize(vectors, dim=-1))

    @property
    def _projects(self) -> bool:
        return hasattr(self.tower.model, "visual_projection")

    @torch.inference_mode()
    def vectors(self, tokens: Tensor) -> Tensor:
        """Unit vectors (K, E) of tokens (K, D) of `Tower.layer`: what the tower's last step makes of each token alone.

        In CLIP this is the value path of the last layer (Zhou et al. 2022, MaskCLIP): attention to one token is its
        value. In SigLIP it is the last layer and the pooling head with one token.
        """
        vision = self.tower.vision
        layer = vision.encoder.layers[-1]
        tokens = tokens.to(self.tower.model.device, self.tower.model.dtype)
        if self._projects:
            value = layer.self_attn.out_proj(layer.self_attn.v_proj(layer.layer_norm1(tokens)))
            shared = self.tower.model.visual_projection(vision.post_layernorm(value))
        else:
            shared = vision.head(vision.post_layernorm(layer(tokens[:, None], None)))
        return normalize(shared.float().cpu(), dim=-1)

    def best(self, vectors: Tensor) -> Tensor:
        """Number of the name that is nearest to each vector (..., E), (...) int64."""
        return (vectors @ self.texts.T).argmax(-1)


def _vectors(tower: Tower, names: list[str]) -> Tensor:
    tokenizer = extras.load("transformers", "models").AutoTokenizer.from_pretrained(tower.name)
    prompts = tokenizer(
        [PROMPT.format(name) for name in names], padding="max_length", truncation=True, return_tensors="pt"
    )
    with torch.inference_mode():
        found = tower.model.get_text_features(**prompts.to(tower.model.device))
    vectors: Tensor = getattr(found, "pooler_output", found)
    return vectors.float().cpu()
