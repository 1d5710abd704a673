"""``vidfold models``: the supported model families."""

import argparse
from typing import TYPE_CHECKING

from vidfold import extras
from vidfold.app.tables import table, wrapped
from vidfold.cli.options import Commands, command

if TYPE_CHECKING:
    from vidfold.models import Family

NOTES = """
first line: the class of transformers
second line: what is folded, images only by fold(..., images=True); then the attention received that methods may read
attention received: in two layers of the vision tower, by every patch, or as the mean of a token's patches; \
full layers: those that attend without windows
cannot serve: methods that need what the family does not give
all families: several videos in a prompt, batches of unequal prompts, beams, sampling, labels"""


def add(commands: Commands) -> None:
    """Add the command."""
    command(commands, "models", run, "List the families of models.")


def run(_: argparse.Namespace) -> None:
    """Print a table of the families."""
    from vidfold.models import FAMILIES
    from vidfold.models.base import Family
    from vidfold.reducers import METHODS

    rows = []
    for name, family in sorted(FAMILIES.items()):
        folds = ["videos", "images"]
        folds += ["DeepStack"] * (family.side_levels is not Family.side_levels)
        lacking = sorted(each for each, method in METHODS.items() if method().needs - family.gives)
        without = f"; cannot serve {', '.join(lacking)}" if lacking else ""
        rows += [(name, model_class(family)), ("", f"{', '.join(folds)}; {family.saliency}{without}")]
    print(table(rows))
    print(wrapped(NOTES, "    "))


def model_class(family: "type[Family]") -> str:
    """Name of the transformers class that a family serves."""
    extras.load("transformers", "models")
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as NAMES

    # A family that transformers has no class for serves the class of the family it derives from.
    types = [getattr(each, "model_type", None) for each in family.__mro__]
    return next((str(NAMES[each]) for each in types if each in NAMES), "-")
