"""A model's own methods with something in front, as attributes of that one object."""

import functools
from collections.abc import Callable
from typing import Any

Method = Callable[..., Any]
Instead = Callable[[Any, Method, tuple[Any, ...], dict[str, Any]], Any]


class Wrapped:
    """A method of one model, such as ``generate``, replaced by ``instead(owner, stock, args, kwargs)`` until `remove`.

    A copy of the model, deep or pickled, has the stock method.

    Attributes:
        owner: who wrapped it; None once removed.
        stock: the method as it was before.
    """

    def __init__(self, model: Any, name: str, owner: Any, instead: Instead) -> None:
        stock: Method = getattr(model, name)
        functools.update_wrapper(self, stock)
        self.owner, self.stock = owner, stock
        self._model, self._name, self._instead = model, name, instead
        self._previous = vars(model).get(name)
        setattr(model, name, self)

    def remove(self) -> None:
        """Take the wrapper away; a second call does nothing.

        What wrapped the method later stays; this wrapper below it calls the stock method from now on.
        """
        if self.owner is not None and vars(self._model).get(self._name) is self:
            if self._previous is None:
                delattr(self._model, self._name)
            else:
                setattr(self._model, self._name, self._previous)
        self.owner = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the method."""
        if self.owner is None:
            return self.stock(*args, **kwargs)
        return self._instead(self.owner, self.stock, args, kwargs)

    def __reduce__(self) -> tuple[Callable[[Method], Method], tuple[Method]]:
        return _same, (self.stock,)


def _same(method: Method) -> Method:
    return method
