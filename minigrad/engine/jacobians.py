"""Whole Jacobians, forward and backward, and the linear map that a function is near a point."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..backend import device_of
from ..errors import ShapeError
from .operators import ops
from .tensor import Tensor, wrap
from .transforms import _call, _outer, _track, _zeros_like, grad

Argnums = int | tuple[int, ...]


def linearize(f: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """f(*primals), and the function that takes tangents to the directional derivative there.

    f(x + t) ≈ f(x) + J t. As `jvp`, but f and its derivative are recorded once: each tangent then
    costs one backward pass through what was recorded, and f is not called again.

    >>> import minigrad as mg
    >>> y, push = mg.linearize(lambda x: x**3, mg.tensor(2.0))
    >>> push(mg.tensor(1.0)).item(), push(mg.tensor(10.0)).item()
    (12.0, 120.0)
    """
    record = _outer(primals)
    xs = _track(primals)
    out = _call(f, xs, "linearize", many=True)
    outs = out if isinstance(out, tuple) else (out,)
    live = [o for o in outs if o.requires_grad]
    us = [_zeros_like(o).requires_grad_() for o in live]
    back = grad(live, xs, us, create_graph=True, allow_unused=True) if live else [None] * len(xs)

    def push(*tangents: Any) -> Any:
        ts = [ops.asarray(t) for t in tangents]
        if [t.shape for t in ts] != [x.shape for x in xs]:
            raise ShapeError(
                f"linearize: the primals have shapes {[x.shape for x in xs]}, "
                f"the tangents {[t.shape for t in ts]}"
            )
        pairs = [(g, t) for g, t in zip(back, ts, strict=True) if g is not None and g.requires_grad]
        dots: Any = [None] * len(us)
        if pairs:
            dots = grad(
                [g for g, _ in pairs],
                us,
                [t for _, t in pairs],
                create_graph=record or _outer(ts),
                retain_graph=True,
                allow_unused=True,
            )
        found = {id(o): d for o, d in zip(live, dots, strict=True) if d is not None}
        full = tuple(found[id(o)] if id(o) in found else _zeros_like(o) for o in outs)
        return full if isinstance(out, tuple) else full[0]

    values = outs if record else tuple(o.detach() for o in outs)
    return (values if isinstance(out, tuple) else values[0]), push


def jacfwd(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The function that gives ∂f/∂x, shape (*f(x).shape, *x.shape), column by column.

    One pass per element of x: for functions with fewer inputs than outputs. Several `argnums` give
    a tuple of Jacobians; a tuple of outputs, a tuple of these. It can be nested, and be
    differentiated.

    >>> import minigrad as mg
    >>> mg.jacfwd(lambda x: x * x)(mg.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """

    def wrapped(*args: Any) -> Any:
        numbers, xs, of_chosen = _choose(f, args, argnums)
        out, push = linearize(of_chosen, *xs)
        outs = out if isinstance(out, tuple) else (out,)
        zeros = [_zeros_like(x) for x in xs]
        table: list[list[Any]] = [[] for _ in outs]
        for k, x in enumerate(xs):
            columns = []
            for e in _basis(x):
                dots = push(*[*zeros[:k], e, *zeros[k + 1 :]])
                columns.append(dots if isinstance(out, tuple) else (dots,))
            for j, o in enumerate(outs):
                shape = (*o.shape, *x.shape)
                column = [c[j] for c in columns]
                table[j].append(
                    ops.reshape(ops.stack(column, axis=-1), shape)
                    if column
                    else _empty(x, shape, o.dtype)
                )
        return _table(table, isinstance(out, tuple), isinstance(numbers, int))

    return wrapped


def jacrev(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The function that gives ∂f/∂x, shape (*f(x).shape, *x.shape), row by row.

    One backward pass per element of f(x): for functions with fewer outputs than inputs. Several
    `argnums` give a tuple of Jacobians; a tuple of outputs, a tuple of these. It can be nested, and
    differentiated: jacfwd(jacrev(f)) is the Hessian.

    >>> import minigrad as mg
    >>> mg.jacfwd(mg.jacrev(lambda x: (x**3).sum()))(mg.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """

    def wrapped(*args: Any) -> Any:
        numbers, given, of_chosen = _choose(f, args, argnums)
        record = _outer(given)
        xs = _track(given)
        out = _call(of_chosen, xs, "jacrev", many=True)
        table = []
        for o in out if isinstance(out, tuple) else (out,):
            rows: list[list[Any]] = [[] for _ in xs]
            for e in _basis(o):
                gs: Any = [None] * len(xs)
                if o.requires_grad:
                    gs = grad(o, xs, e, create_graph=record, retain_graph=True, allow_unused=True)
                for row, g, x in zip(rows, gs, xs, strict=True):
                    row.append(_zeros_like(x) if g is None else g)
            table.append(
                [
                    ops.reshape(ops.stack(row), (*o.shape, *x.shape))
                    if row
                    else _empty(x, (*o.shape, *x.shape), x.dtype)
                    for row, x in zip(rows, xs, strict=True)
                ]
            )
        return _table(table, isinstance(out, tuple), isinstance(numbers, int))

    return wrapped


def _choose(
    f: Callable[..., Any], args: Sequence[Any], argnums: Argnums
) -> tuple[Argnums, list[Any], Callable[..., Any]]:
    """argnums, the chosen arguments, and f as a function of those."""
    chosen = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    def of_chosen(*xs: Tensor) -> Any:
        full = list(args)
        for i, x in zip(chosen, xs, strict=True):
            full[i] = x
        return f(*full)

    return argnums, [ops.asarray(args[i]) for i in chosen], of_chosen


def _basis(like: Tensor) -> list[Tensor]:
    """One Tensor per element of `like`: 1 there, 0 elsewhere."""
    xp = device_of(like.data).xp
    found = []
    for i in range(like.size):
        e = xp.zeros(like.size, dtype=like.dtype)
        e[i] = 1
        found.append(wrap(e.reshape(like.shape)))
    return found


def _empty(like: Tensor, shape: tuple[int, ...], dtype: Any) -> Tensor:
    return wrap(device_of(like.data).xp.zeros(shape, dtype=dtype))


def _table(table: list[list[Any]], many: bool, single: bool) -> Any:
    """Rows per output, columns per argument; without the level that was not asked for."""
    rows = [row[0] if single else tuple(row) for row in table]
    return tuple(rows) if many else rows[0]
