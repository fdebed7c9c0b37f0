"""What a program was recorded under, and whether that still holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..tensor import Tensor


class Conditions:
    """A program holds while what is guarded stays equal, and modes and places stay the same."""

    def __init__(self) -> None:
        self._guards: dict[Any, tuple[Callable[[], Any], Any]] = {}
        self._modes: dict[int, tuple[Any, bool]] = {}
        self._places: list[tuple[Tensor, Any]] = []

    def guard(self, key: Any, function: Callable[[], Any]) -> None:
        """`function()` stays what it is now."""
        self._guards.setdefault(key, (function, function()))

    def mode(self, module: Any) -> None:
        """The module is in training, or not, as it is now."""
        self._modes.setdefault(id(module), (module, module.training))

    def place(self, tensor: Tensor) -> None:
        """The array of the Tensor stays the one that it is now."""
        self._places.append((tensor, tensor.data))

    def hold(self) -> bool:
        """Whether all is as it was; asked before each replay, so in plain loops."""
        for module, training in self._modes.values():
            if module.training is not training:
                return False
        for tensor, array in self._places:
            if tensor.data is not array:
                return False
        for function, value in self._guards.values():  # noqa: SIM110
            if function() != value:
                return False
        return True
