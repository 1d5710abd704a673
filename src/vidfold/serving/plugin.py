"""The entry point of the plugin: vLLM calls it in each of its processes before it reads its command line."""

import logging
import warnings
from importlib import import_module

from vidfold import versions


def register() -> None:
    """Enter the models and the names of the methods in vLLM; idempotent.

    At a version of vLLM that is not tested the plugin changes nothing and says so in vLLM's log.
    """
    vllm = import_module("vllm")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", versions.UntestedVersion)
            versions.check(vllm)
    except (ValueError, versions.UntestedVersion) as problem:
        logging.getLogger("vllm.vidfold").warning("vidfold's plugin stays off, no video is folded: %s", problem)
        return
    from vidfold.serving import methods, replacing, served, startup

    for architecture, model in served.MODELS.items():
        vllm.ModelRegistry.register_model(architecture, model.place)
    replacing.replace(methods.SERVED, startup.start)
