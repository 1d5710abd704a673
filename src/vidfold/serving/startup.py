"""What a server is started with: its method is checked before anything is loaded, and kept with vLLM's config."""

from collections.abc import Mapping
from typing import Any

from vidfold.reducers import BudgetedReducer
from vidfold.serving.budgets import NAMES
from vidfold.serving.methods import FIELDS, SERVED, check_needs, started
from vidfold.serving.served import MODELS

OWN = ("evs", "vidcom2")
"""Names of vLLM's own methods."""
ATTRIBUTE = "vidfold_method"
"""Where the method is kept: on vLLM's multimodal config, which goes to every process."""


def method_of(model_config: Any) -> BudgetedReducer | None:
    """The method of the server with this ``ModelConfig``; None where vidfold does not fold."""
    method: BudgetedReducer | None = getattr(model_config.multimodal_config, ATTRIBUTE, None)
    return method


def start(name: str, rate: float | None, model: Any, additional: Any) -> None:
    """Check what a server is told of folding, and keep the method where `method_of` finds it.

    Args:
        name: ``--video-pruning-method``.
        rate: ``--video-pruning-rate``.
        model: vLLM's ``ModelConfig``.
        additional: ``--additional-config``.

    Raises:
        ValueError: a method that cannot be served, settings that nothing would read, or a model that is not served.
    """
    settings = additional.get("vidfold", {}) if isinstance(additional, Mapping) else {}
    if not isinstance(settings, Mapping):
        raise ValueError(f"{FIELDS} must be an object of fields, got {settings!r}")
    _check_processor_settings(getattr(model.multimodal_config, "mm_processor_kwargs", None) or {})
    served = MODELS.get(model.architecture)
    if not rate or name in (OWN if served is None else served.own):
        _check_unused(name, rate, settings, model)
        return
    if served is None:
        raise ValueError(
            f"{model.architecture} is not served with --video-pruning-method {name}; vidfold serves: "
            f"{', '.join(sorted(MODELS))}"
        )
    method = started(name, rate, settings)
    check_needs(method, served.gives, model.architecture)
    setattr(model.multimodal_config, ATTRIBUTE, method)


def _check_unused(name: str, rate: float | None, settings: Mapping[str, Any], model: Any) -> None:
    """Raise a ValueError for what says that videos are folded where none are."""
    if not rate and name not in OWN:
        raise ValueError(
            f"--video-pruning-method {name} folds nothing without a rate: add --video-pruning-rate, such as 0.9"
        )
    if settings:
        raise ValueError(
            f"{FIELDS} is for methods of vidfold, but this server runs none: give --video-pruning-rate and "
            f"--video-pruning-method, one of {', '.join(SERVED)}; got {dict(settings)!r}"
        )
    if rate and not model._model_info.supported_video_pruning_methods:
        raise ValueError(
            f"{model.architecture} prunes no video in vLLM, so --video-pruning-rate {rate} would do nothing; vidfold "
            f"serves: {', '.join(sorted(MODELS))}"
        )


def _check_processor_settings(settings: Mapping[str, Any]) -> None:
    """Raise a ValueError for a budget among the server's ``--mm-processor-kwargs``, which the processor would read."""
    if found := [name for name in NAMES if name in settings]:
        raise ValueError(
            f"--mm-processor-kwargs must not have {found[0]}={settings[found[0]]!r}: the server's budget is "
            f"--video-pruning-rate, or tokens in {FIELDS}; only requests set it in mm_processor_kwargs"
        )
