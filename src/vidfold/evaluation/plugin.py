"""The entry point by which lmms-eval finds the model ``vidfold``; imports nothing of the package."""

from __future__ import annotations

from typing import Any


def manifest() -> Any:
    """Where lmms-eval finds the class: a `ModelManifest` of lmms-eval.

    It is registered as a simple model, as lmms-eval's own LLaVA models are: its chat models cannot be asked for
    likelihoods.
    """
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(model_id="vidfold", simple_class_path="vidfold.evaluation.lmms.Vidfold")
