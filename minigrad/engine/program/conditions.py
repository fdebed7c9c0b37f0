"""What a program was recorded under, and whether that still holds."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from ..tensor import Tensor


class Conditions:
    """A program holds while what is guarded stays equal, and modes and places stay the same."""

    def __init__(self) -> None:
        self._guards: dict[Any, tuple[Callable[[], Any], Any]] = {}
        self._modes: dict[int, tuple[Any, bool]] = {}
        self._places: list[tuple[Tensor, Any, bool]] = []

    def guard(self, key: Any, function: Callable[[], Any]) -> None:
        """`function()` stays what it is now."""
        self._guards.setdefault(key, (function, function()))

    def mode(self, module: Any) -> None:
        """The module is in training, or not, as it is now."""
        self._modes.setdefault(id(module), (module, module.training))

    def places(self, tensors: list[Tensor]) -> list[Tensor]:
        """Each keeps the array that it has now, and is trained or frozen as it is now.

        Those that nobody holds but the list, which is emptied, are of the past; returns the others.
        """
        weak = [weakref.ref(tensor) for tensor in tensors]
        tensors.clear()
        living = [tensor for tensor in (ref() for ref in weak) if tensor is not None]
        self._places += [(t, t.data, t.requires_grad) for t in living]
        return living

    def hold(self) -> bool:
        """Whether all is as it was; asked before each replay, so in plain loops."""
        for module, training in self._modes.values():
            if module.training is not training:
                return False
        for tensor, array, trained in self._places:
            if tensor.data is not array or tensor.requires_grad is not trained:
                return False
        for function, value in self._guards.values():  # noqa: SIM110
            if function() != value:
                return False
        return True
