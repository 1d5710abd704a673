"""All that has to be replaced inside vLLM, for want of a hook.

- The names that ``--video-pruning-method`` takes are a closed list of types: it gets vidfold's names, too.
- ``EngineArgs.create_engine_config`` also calls `startup.start`, so that a wrong setting stops the server at once.
- The model runner for CPUs never switches the pruning of M-RoPE models on, as that for GPUs does after loading.

`vidfold.serving.plugin` calls this only at a version of vLLM that is tested. It is idempotent.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Literal

DONE = "_vidfold"
"""Marks what is replaced already."""


def replace(names: Sequence[str], start: Callable[..., None]) -> None:
    """Replace all three.

    Args:
        names: of methods that the list gets.
        start: called as ``start(name, rate, model_config, additional_config)`` for every engine.
    """
    _widen(names)
    _check_at_start(start)
    _prune_on_cpu()


def _widen(names: Sequence[str]) -> None:
    from pydantic.dataclasses import rebuild_dataclass
    from vllm.config import multimodal

    listed: tuple[str, ...] = multimodal.VideoPruningMethod.__args__
    kind = Literal[tuple(dict.fromkeys([*listed, *names]))]  # type: ignore[valid-type]
    multimodal.VideoPruningMethod = kind
    config, field = multimodal.MultiModalConfig, "video_pruning_method"
    config.__annotations__[field] = kind
    config.__dataclass_fields__[field].type = kind
    config.__pydantic_fields__[field].annotation = kind
    rebuild_dataclass(config, force=True)


def _check_at_start(start: Callable[..., None]) -> None:
    from vllm.engine.arg_utils import EngineArgs

    stock = EngineArgs.create_engine_config
    if hasattr(stock, DONE):
        return

    @wraps(stock)
    def create_engine_config(self: Any, *arguments: Any, **settings: Any) -> Any:
        config = stock(self, *arguments, **settings)
        start(self.video_pruning_method, self.video_pruning_rate, config.model_config, config.additional_config)
        return config

    setattr(create_engine_config, DONE, True)
    EngineArgs.create_engine_config = create_engine_config


def _prune_on_cpu() -> None:
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    from vllm.model_executor.models.interfaces import supports_multimodal_pruning
    from vllm.v1.worker.cpu_model_runner import CPUModelRunner

    stock = CPUModelRunner.load_model
    if hasattr(stock, DONE):
        return

    @wraps(stock)
    def load_model(self: Any, *arguments: Any, **settings: Any) -> None:
        stock(self, *arguments, **settings)
        config = self.model_config.multimodal_config
        prunes = config is not None and config.is_multimodal_pruning_enabled()
        self.is_multimodal_pruning_enabled = prunes and supports_multimodal_pruning(self.get_model())

    setattr(load_model, DONE, True)
    CPUModelRunner.load_model = load_model
