"""Gradient clipping, over the arenas of an optimiser where the gradients belong to one.

Those come to lie in their arena, where the optimiser finds them; the others are replaced by scaled
copies. Nothing here looks at values, so a compiled step clips too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ..backend import Array, device_of, namespace, on_cpu
from ..engine import Arena, RowSparse, Tensor, kernel, wrap
from ..engine.homes import find
from ..engine.recording import recording
from ..errors import ConfigError, GradError
from .blocks import Block, blocks

BLOCK = 1 << 16  # elements that are worked on together


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, *, error_if_nonfinite: bool = False
) -> Any:
    """Scale all gradients by one factor so that their joint 2-norm is at most `max_norm`.

    Returns the norm before clipping (Pascanu et al. 2013): a float, or a Tensor of shape () while
    `mg.compile` records.

    Raises: GradError for a norm that is not finite, with `error_if_nonfinite`; then the gradients
    are as they were. A recorded step cannot look.
    """
    if not max_norm >= 0:
        raise ConfigError(f"clip_grad_norm_: max_norm is ≥ 0, got {max_norm}")
    parts = _parts(parameters)
    if not parts:
        return 0.0
    squares: Any = [kernel(_squares, *part.arrays, work=part.work) for part in parts]
    if len({device_of(each) for each in squares}) > 1:
        squares = [float(each) for each in squares]  # they meet on the host
    norm, factor = kernel(_norm, squares, limit=float(max_norm))
    if not recording():
        norm, factor = float(norm), float(factor)
        if error_if_nonfinite and not math.isfinite(norm):
            raise GradError(f"clip_grad_norm_: the norm of the gradients is {norm}")
        if factor == 1:
            return norm
    for part in parts:
        part.replace(kernel(_scale, factor, *part.arrays, work=part.work))
    return norm if isinstance(norm, float) else wrap(norm)


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Clip each element of the gradients to [-clip_value, clip_value]."""
    if not clip_value >= 0:
        raise ConfigError(f"clip_grad_value_: clip_value is ≥ 0, got {clip_value}")
    for part in _parts(parameters):
        part.replace(kernel(_limit, *part.arrays, work=part.work, limit=float(clip_value)))


class _Part:
    """Gradients that are clipped together: those of one arena, or one without an arena.

    Attributes:
        arrays: (grad, places, given): the arena's memory for gradients or None, the place of each
            in it, and the gradients.
        work: the blocks of it.
    """

    __slots__ = ("arena", "given", "indices", "work")

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.given: list[Any] = [None] * len(arena.params)
        self.indices: list[int] = []
        self.work: tuple[Block, ...] = ()
        arena.claim()

    @property
    def arrays(self) -> tuple[Any, ...]:
        return self.arena.grad, self.arena.places, self.given

    def replace(self, _: list[Array]) -> None:
        """Give the parameters their clipped gradients."""
        for i in self.indices:
            self.arena.lend(i)


class _Loose:
    """A gradient without an arena, or of some rows."""

    work: tuple[Block, ...] = ()

    def __init__(self, p: Tensor) -> None:
        self.param = p
        if isinstance(p.grad, RowSparse):
            p.grad = p.grad.coalesce()
        self.arrays = None, (), [_values(p.grad)]

    def replace(self, clipped: list[Array]) -> None:
        """Give the parameter its clipped gradient."""
        g = self.param.grad
        rows = isinstance(g, RowSparse)
        self.param.grad = RowSparse(g.indices, clipped[0], g.shape) if rows else wrap(clipped[0])


def _values(g: Any) -> Array:
    return g.values if isinstance(g, RowSparse) else g.data


def _parts(parameters: Tensor | Iterable[Tensor]) -> list[Any]:
    parts: list[Any] = []
    homes: dict[Arena, _Part] = {}
    for p in [parameters] if isinstance(parameters, Tensor) else parameters:
        g = p.grad
        if g is None:
            continue
        home, i = (None, 0) if isinstance(g, RowSparse) else find(p)
        if home is None:
            parts.append(_Loose(p))
            continue
        part = homes.get(home)
        if part is None:
            part = homes[home] = _Part(home)
            parts.append(part)
        part.given[i] = None if g.data is home.places[i] else g.data  # it lies there already
        part.indices.append(i)
    for arena, part in homes.items():
        part.indices.sort()
        part.work = blocks(
            arena, part.indices, BLOCK if on_cpu(namespace(arena.data)) else arena.size
        )
    return parts


# -- on arrays -----------------------------------------------------------------------------------


def _pieces(
    grad: Array, places: Any, given: list[Array], work: tuple[Block, ...]
) -> Iterator[tuple[Array, Any]]:
    """(gradient, its place in the arena or None), flat, block by block.

    The small gradients of an arena are moved side by side first.
    """
    if grad is None:
        yield given[0].reshape(-1), None
    for start, stop, copies, source, offset, _ in work:
        for i in copies:
            if given[i] is not None:
                places[i][...] = given[i]
        g = place = grad[start:stop]
        if source >= 0 and given[source] is not None:
            g = given[source].reshape(-1)[start - offset : stop - offset]
        yield g, place


def _squares(grad: Array, places: Any, given: list[Array], *, work: tuple[Block, ...]) -> Array:
    """Σ g², added up in pairs: the same on any number of threads."""
    first = given[0] if grad is None else grad
    xp, wide = namespace(first), first.dtype.itemsize > 2
    kind = first.dtype if wide else "float32"
    room = xp.empty(max([b.stop - b.start for b in work], default=first.size), dtype=kind)
    sums = xp.empty(max(1, len(work)), dtype=kind)
    for k, (g, _) in enumerate(_pieces(grad, places, given, work)):
        part = room[: g.size]
        if not wide:
            part[...] = g
            g = part
        xp.multiply(g, g, out=part)
        xp.add.reduce(part, out=sums[k, ...])
    return xp.add.reduce(sums, dtype="float64")


def _norm(squares: list[Any], *, limit: float) -> tuple[Any, Any]:
    """The joint norm, and by what to multiply."""
    total = squares[0]
    for each in squares[1:]:
        total = total + each
    if isinstance(total, float):  # also what NumPy makes of a 0-d array
        total = np.asarray(total)
    xp = namespace(total)
    norm = xp.sqrt(total)
    return norm, xp.minimum(limit / (norm + 1e-6), 1.0)


def _scale(
    factor: Any, grad: Array, places: Any, given: list[Array], *, work: tuple[Block, ...]
) -> list[Array]:
    """The gradients times `factor`."""
    if not isinstance(factor, float):
        first = given[0] if grad is None else grad
        factor = factor.astype("float64" if first.dtype == "float64" else "float32")

    def scaled(g: Array, out: Array) -> None:
        namespace(g).multiply(g, factor, out=out)

    return _clipped(scaled, grad, places, given, work)


def _limit(
    grad: Array, places: Any, given: list[Array], *, work: tuple[Block, ...], limit: float
) -> list[Array]:
    """The gradients between -limit and limit."""

    def limited(g: Array, out: Array) -> None:
        namespace(g).clip(g, -limit, limit, out=out)

    return _clipped(limited, grad, places, given, work)


def _clipped(
    f: Callable[[Array, Array], None],
    grad: Array,
    places: Any,
    given: list[Array],
    work: tuple[Block, ...],
) -> list[Array]:
    """What `f` makes of each piece: in the arena, or as a new array."""
    new = []
    for g, place in _pieces(grad, places, given, work):
        if place is None:
            place = namespace(g).empty(g.shape, dtype=g.dtype)
            new.append(place.reshape(given[0].shape))
        f(g, place)
    for block in work:
        for gap in block.gaps:
            grad[gap] = 0  # 0 times an infinite factor is no 0
    return new
