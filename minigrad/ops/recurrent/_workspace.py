"""What a recurrent loop works in, kept for the next call of the same shape.

A loop writes into the same few arrays at each step, and nobody needs them after it. To make them,
and to cut them into gates, takes as long as a few narrow steps. So a workspace keeps the arrays and
what was made of them, and the next call in the same thread finds all of it: the next batch, another
layer of this shape, the next training step.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from math import prod
from typing import Any, TypeVar

import numpy as np

from ...backend import Array
from ._products import product

LIMIT = 1 << 22  # bytes that a thread keeps: to make more takes little beside work on it

T = TypeVar("T")


class Workspace:
    """Arrays by name, and what a loop made of them.

    In NumPy's memory each array is made once, for `widest` columns; a narrower run works in the
    beginning of it, which is still in cache. Elsewhere arrays are as large as they need to be.
    """

    def __init__(self, xp: Any, widest: int, dtype: Any, key: Any = None) -> None:
        self.xp, self.widest, self.dtype, self.key = xp, widest, dtype, key
        self.nbytes = 0
        self._made: dict[Any, Any] = {}

    def keep(self) -> None:
        """Leave it to the next call: nobody reads these arrays any more."""
        if self.xp is not np or self.nbytes > LIMIT:
            return
        idle = _IDLE.of
        idle[self.key] = self
        total = sum(each.nbytes for each in idle.values())
        while total > LIMIT:
            total -= idle.pop(next(iter(idle))).nbytes

    def once(self, key: Any, make: Callable[[], T]) -> T:
        """`make()` of the first call with this key."""
        found: T | None = self._made.get(key)
        if found is None:
            found = self._made[key] = make()
        return found

    def array(self, name: Any, *shape: int) -> Array:
        """An array with anything in it; one name has one shape."""
        return self.once(name, lambda: self._new(shape))

    def columns(self, name: Any, n: int, *lead: int, widest: int = 0) -> Array:
        """An array (*lead, n) with anything in it; the widest of this name has `widest` columns."""
        if self.xp is not np:
            return self.xp.empty((*lead, n), dtype=self.dtype)
        size = prod(lead)
        whole = self.array(name, size * (widest or self.widest))
        return self.once((name, n), lambda: whole[: size * n].reshape(*lead, n))

    def product(self, a: Array, n: int, widest: int = 0) -> tuple[Array, Array, Callable[[], Any]]:
        """Arrays b (K, n) and out (M, n), and what writes a @ b there; `a` (M, K) is kept here."""

        def make() -> tuple[Array, Array, Callable[[], Any]]:
            b = self.columns(("b", id(a)), n, a.shape[1], widest=widest)
            out = self.columns(("a @ b", id(a)), n, a.shape[0], widest=widest)
            return b, out, product(self.xp, a, b, out, self._new)

        return self.once(("product", id(a), n), make)

    def _new(self, shape: tuple[int, ...]) -> Array:
        new = self.xp.empty(shape, dtype=self.dtype)
        self.nbytes += new.nbytes
        return new


class _Idle(threading.local):
    """This thread's workspaces that nobody uses, one of each shape; the last used come last."""

    def __init__(self) -> None:
        self.of: dict[Any, Workspace] = {}


_IDLE = _Idle()


def workspace(xp: Any, widest: int, dtype: Any, *shape: Any) -> Workspace:
    """The workspace of a loop of this `shape`, which says all that its arrays depend on.

    Who has done with it says `keep()`.
    """
    key = widest, dtype, *shape
    found = _IDLE.of.pop(key, None) if xp is np else None
    return found or Workspace(xp, widest, dtype, key)
