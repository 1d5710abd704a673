"""The entry point by which lmms-eval finds the model ``vidfold``; it imports nothing else of the package."""

from typing import Any


def manifest() -> Any:
    """The `ModelManifest` that tells lmms-eval where the class is.

    It is a simple model, as lmms-eval's own LLaVA models are: chat models of lmms-eval give no likelihoods.
    """
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(model_id="vidfold", simple_class_path="vidfold.evaluation.lmms.Vidfold")
