"""Running something where a model runs its encoders: inside its forward, with everything that wraps it."""

from collections.abc import Callable
from typing import Any


class _Made(Exception):
    """Carries what was made out of a forward."""

    def __init__(self, made: Any) -> None:
        self.made = made


class _Outputs:
    """Stands in the place of encoder outputs, and makes something else when the model asks for them."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def get(self, _: str) -> Any:
        """End the forward with what was made."""
        raise _Made(self._make())


def inside(forward: Callable[..., Any], inputs: dict[str, Any], make: Callable[[], Any]) -> Any:
    """What ``make()`` gives inside a forward, which ends there.

    Autocast, offloaded weights and whatever else wraps the forward act as they do on the model's own encoders.

    Args:
        forward: of a model that takes ``mm_encoder_outputs``.
        inputs: its arguments, without pixels.
        make: called once.
    """
    try:
        forward(**inputs | {"mm_encoder_outputs": _Outputs(make)})
    except _Made as end:
        return end.made
    raise RuntimeError("the model did not ask for encoder outputs")
