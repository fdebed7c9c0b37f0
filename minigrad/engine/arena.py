"""`Arena`: the memory of many leaves in one piece, and that of their gradients in another.

What goes over all parameters (an update, an average, a norm, the all-reduce of several machines)
then goes over one flat array, in blocks that stay in cache. The leaves notice nothing: their `data`
are views. Optimisers make arenas; the class is here because `Module.to` moves them.
"""

from __future__ import annotations

import math
import sys
import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..backend import Array, Device, device_of, on_cpu
from ..errors import CompileError
from .recording import kernel, recording
from .sparse import dense, raw
from .tensor import Tensor, wrap

ALIGN = 64  # bytes: a cache line, and the widest vector register

HOMES: weakref.WeakValueDictionary[int, Arena] = weakref.WeakValueDictionary()
"""id of a leaf → the arena it was moved to, which holds the leaf: so the id is its own."""


class Arena:
    """Leaves of one device and dtype whose memory is one flat array.

    Attributes:
        params: the leaves, in order of memory.
        data: their values: 1-D, each begins at a multiple of 64 bytes, zeros between them.
        views: the part of `data` that is each leaf's `data`.
        starts: where in `data` it begins.
        plans: what others remember of this layout.
        generation: how often the leaves have been laid out; new arrays each time.
    """

    __slots__ = (
        *("__weakref__", "_grad", "_lent", "_places", "_quiet", "data", "generation", "index"),
        *("owner", "params", "plans", "shapes", "starts", "views"),
    )

    data: Array
    views: list[Array]

    def __init__(self, params: Iterable[Tensor]) -> None:
        self.params = list(params)
        self.index = {id(p): i for i, p in enumerate(self.params)}
        self.generation = 0
        self.owner: Arena | None = None  # the arena that this one is a part of
        self._lay_out()

    def _lay_out(self) -> None:
        """Move the leaves into memory of their own."""
        unit = max(1, ALIGN // self.params[0].dtype.itemsize)
        self.starts, end = [], 0
        for p in self.params:
            self.starts.append(end)
            end += math.ceil(p.size / unit) * unit
        self.shapes = [p.shape for p in self.params]
        self.data = _zeros(self.params[0].device, end, self.params[0].dtype)
        self.views = self.cut(self.data)
        for p, view in zip(self.params, self.views, strict=True):
            view[...] = p.data
            p.data, p.version = view, None  # nobody shares this memory yet
            HOMES[id(p)] = self
        self.generation += 1
        self.plans: dict[Any, Any] = {}
        self._forget_grad()

    def _forget_grad(self) -> None:
        self._grad: Array | None = None
        self._places: list[Array] = []
        self._lent = False

    @classmethod
    def _within(cls, data: Array, params: list[Tensor], starts: list[int], owner: Any) -> Arena:
        """Leaves that stay where they are, in `data`."""
        new = cls.__new__(cls)
        new.params, new.data, new.starts, new.owner = params, data, starts, owner
        new.shapes, new.views = [p.shape for p in params], [p.data for p in params]
        new.generation, new.plans = 1, {}
        new._forget_grad()
        return new

    def part(self, first: int, last: int) -> Arena:
        """The leaves from `first` up to `last` as an arena of their own, in the same memory."""
        if (first, last) == (0, len(self.params)):
            return self
        begin = self.starts[first]
        data = self.data[begin : self.starts[last] if last < len(self.starts) else None]
        starts = [start - begin for start in self.starts[first:last]]
        return Arena._within(data, self.params[first:last], starts, self)

    @classmethod
    def alone(cls, p: Tensor) -> Arena:
        """One leaf that stays where it is. Its memory may have gaps: then `data` is not flat."""
        flat = p.data.reshape(-1) if p.data.flags.c_contiguous else p.data
        return cls._within(flat, [p], [0], None)

    @property
    def size(self) -> int:
        """Elements, padding included."""
        return self.data.size

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.data.dtype

    @property
    def device(self) -> Device:
        return device_of(self.data)

    @property
    def flat(self) -> bool:
        """Whether `data` is one-dimensional; if not, it is a single leaf with gaps."""
        return self.data.ndim == 1

    def cut(self, flat: Array) -> list[Array]:
        """The part of each leaf of an array with the layout of `data`."""
        if not self.flat:
            return [flat]
        return [
            flat[start : start + math.prod(shape)].reshape(shape)
            for start, shape in zip(self.starts, self.shapes, strict=True)
        ]

    def like(self) -> Array:
        """Zeros in the layout of `data`."""
        if not self.flat:
            return self.device.xp.zeros(self.data.shape, dtype=self.dtype)
        return _zeros(self.device, self.size, self.dtype)

    def intact(self) -> bool:
        """Whether each leaf is still here.

        Raises: CompileError if one has moved and a program is being recorded: it would be too late.
        """
        for p, view in zip(self.params, self.views, strict=True):
            if p.data is not view:
                break
        else:
            return True
        if not recording():
            return False
        for i, p in enumerate(self.params):
            if not self.holds(i):
                raise CompileError(
                    f"compile: the data of a parameter {p.shape} were replaced since its optimiser "
                    "laid them out; read optimizer.arenas once before the compiled function"
                )
        return True

    def holds(self, i: int) -> bool:
        """Whether leaf `i` is still here."""
        data, view = self.params[i].data, self.views[i]
        if data is view:
            return True
        return recording() and getattr(data, "base", None) is view.base  # something stands in

    def settle(self) -> None:
        """Lay the leaves out again if some have moved, and all to one device and dtype."""
        if self.owner is None and not self.intact():
            first = self.params[0].data
            kind = device_of(first), first.dtype
            if all((device_of(p.data), p.dtype) == kind for p in self.params):
                self._lay_out()

    def dissolve(self) -> None:
        """Be the home of these leaves no longer."""
        for p in self.params:
            if HOMES.get(id(p)) is self:
                del HOMES[id(p)]

    # -- gradients -----------------------------------------------------------------------------

    @property
    def grad(self) -> Array:
        """Memory for the gradients, in the layout of `data`: what `gather` fills."""
        if self._grad is None:
            self._grad = self.like()
            self._places = self.cut(self._grad)
            self._quiet = _holders(self._grad)
        return self._grad

    @property
    def places(self) -> list[Array]:
        """The part of `grad` for each leaf."""
        return self._places if self._grad is not None else (self.grad, self._places)[1]

    def claim(self) -> None:
        """To be called before `grad` is written to: leave it to whoever holds a gradient in it."""
        if not self._lent or recording():
            return
        places = self._places
        for i in range(len(places)):
            g = self.params[i].grad
            mine = isinstance(g, Tensor) and g.data is places[i]
            if sys.getrefcount(places[i]) > _FREE + mine:
                break
        else:
            if _holders(self._grad) <= self._quiet:
                return
        self._forget_grad()

    def lend(self, i: int) -> None:
        """Make the gradient of leaf `i` the view of `grad` that holds it."""
        p, place = self.params[i], self.places[i]
        if not isinstance(p.grad, Tensor) or p.grad.data is not place:
            p.grad = wrap(place)
            self._lent = True

    def gather(self, *, missing: bool = False) -> Array:
        """Bring all gradients into `grad`, and make each leaf's `.grad` a view of it; return it.

        What is written into it then, an all-reduce or a clipping, is what the optimiser reads. A
        leaf without a gradient counts as zeros and stays without one, or gets zeros with `missing`.
        A RowSparse becomes dense. Others may hold gradients of an earlier call: they keep theirs,
        so take the array that is returned.
        """
        self.claim()
        given = [raw(p.grad) for p in self.params]
        kernel(_fill, self.grad, self.places, given)
        for i, p in enumerate(self.params):
            if missing or p.grad is not None:
                self.lend(i)
        return self.grad

    def __repr__(self) -> str:
        return f"Arena({len(self.params)} tensors, {self.size:,} {self.dtype} on {self.device})"


def _fill(grad: Array, places: list[Array], given: list[Any]) -> None:
    for place, g in zip(places, given, strict=True):
        if g is not place:
            place[...] = 0 if g is None else dense(g)


def _zeros(device: Device, n: int, dtype: Any) -> Array:
    """n zeros, the first at a multiple of 64 bytes."""
    if not on_cpu(device.xp):
        return device.xp.zeros(n, dtype=dtype)
    spare = ALIGN // dtype.itemsize
    room = np.zeros(n + spare, dtype)
    start = -room.__array_interface__["data"][0] % ALIGN // dtype.itemsize
    return room[start : start + n]


def _holders(array: Array) -> int:
    """How many hold the memory that `array` is a view of."""
    base = getattr(array, "base", None)
    return 0 if base is None else sys.getrefcount(base)


_PROBE = [object()]
_FREE = sys.getrefcount(_PROBE[0])  # what it says of an object that only a list holds
