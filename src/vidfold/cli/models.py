"""``vidfold models``: the supported model families."""

import argparse
from typing import TYPE_CHECKING

from vidfold import extras
from vidfold.app.tables import table
from vidfold.cli.options import Commands, command

if TYPE_CHECKING:
    from vidfold.models import Family


def add(commands: Commands) -> None:
    """Add the command."""
    command(commands, "models", run, "List the families of models.")


def run(_: argparse.Namespace) -> None:
    """Print a table of the families."""
    from vidfold.models import FAMILIES
    from vidfold.models.attention.observing import DEEP_LAYER, REFERENCE_DEPTH, SHALLOW_LAYER
    from vidfold.models.base import Family
    from vidfold.reducers import METHODS

    rows = [("family", "class", "folds", "attention received", "cannot serve")]
    for name, family in sorted(FAMILIES.items()):
        folds = ["videos", "images"]
        folds += ["DeepStack"] * (family.side_levels is not Family.side_levels)
        lacking = sorted(each for each, method in METHODS.items() if method().needs - family.gives)
        rows.append((name, model_class(family), ", ".join(folds), family.saliency, ", ".join(lacking) or "-"))
    print(table(rows))
    print(
        f"\nattention received: in layers {SHALLOW_LAYER} and {DEEP_LAYER} of the vision tower (where it has "
        f"{SHALLOW_LAYER} or fewer, at {SHALLOW_LAYER}/{REFERENCE_DEPTH} of its depth),\n"
        "    by every patch, or as the mean of a token's patches; full layers: those that attend without windows\n"
        "cannot serve: methods that need what the family does not give\n"
        "images: whole unless fold(..., images=True)\n"
        "all families: several videos in a prompt, batches of unequal prompts, beams, sampling, labels"
    )


def model_class(family: "type[Family]") -> str:
    """Name of the transformers class that a family serves."""
    extras.load("transformers", "models")
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as NAMES

    # A family that transformers has no class for serves the class of the family it derives from.
    types = [getattr(each, "model_type", None) for each in family.__mro__]
    return next((str(NAMES[each]) for each in types if each in NAMES), "-")
