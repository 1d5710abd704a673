"""Running something where a model runs its encoders: inside its forward, with everything that wraps it."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


class _Made(Exception):
    """Carries what was made out of a forward."""

    def __init__(self, made: Any) -> None:
        self.made = made


def inside(forward: Callable[..., Any], inputs: dict[str, Any], make: Callable[[], Any]) -> Any:
    """What ``make()`` gives inside a forward, which ends there.

    The forward takes ``mm_encoder_outputs``, and is given inputs without pixels.
    Autocast, offloaded weights and whatever else wraps the forward act as they do on the model's own encoders.
    """

    def stop(_: str) -> Any:
        raise _Made(make())

    try:
        # The forward ends where the model asks for one of the outputs.
        forward(**inputs | {"mm_encoder_outputs": SimpleNamespace(get=stop)})
    except _Made as end:
        return end.made
    raise RuntimeError("the model did not ask for encoder outputs")
