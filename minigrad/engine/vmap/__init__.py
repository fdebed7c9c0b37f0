"""`vmap`: a function of one example as a function of a batch.

The function runs once. Its Tensors hold `Batch`es: arrays of n examples that look like one, so
every op, every fused kernel and every derivative rule works on all examples at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

from ...backend import Array, device_of
from ...errors import DeviceError, ShapeError
from ..define import function, op
from ..modes import MODES
from ..operators import ops
from ..sparse import RowSparse
from ..tensor import Tensor, wrap
from ..tree import flatten, spread, structure
from .array import Batch, BatchDevice, LookedAtValuesError, batches

INSIDE: ContextVar[Any] = ContextVar(
    "minigrad.vmap", default=None
)  # the Batch of the vmap we are in


def vmap(f: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0) -> Callable[..., Any]:
    """A function that maps `f` over an axis of its arguments and stacks the results.

    vmap(f)(x, y)[i] = f(x[i], y[i]). `f` is written for one example; arguments and results may be
    nested tuples, lists and dicts of Tensors. What `f` records is recorded, so the result can be
    differentiated to any order, and `f` may itself differentiate: gradients per example of any
    model, recurrent ones too.

    `f` is called once, on all examples: inside it, Tensors have the shape of one example, and each
    op is computed for all of them together. Random numbers are drawn for each example. If `f` asks
    for a value that differs between examples (`float(x)`, `x.numpy()`, `if x > 0`, `x[mask]`), it
    is called again, once per example, as a loop would.

    Args:
        f: the function of one example.
        in_axes: for each argument the axis that is mapped, or None for an argument that all
            examples share; one number for all; or nested as the arguments are. Keyword arguments
            are shared.
        out_axes: where the new axis goes in the results, nested as they are; None for a result that
            is the same for all examples: that of the first.

    Raises: ShapeError if nothing is mapped, the mapped axes differ in length or have none, axes are
    missing, or `f` returns another structure for another example.

    >>> import minigrad as mg
    >>> dots = mg.vmap(lambda a, b: (a * b).sum(), in_axes=(0, None))
    >>> dots(mg.tensor([[1.0, 2.0], [3.0, 4.0]]), mg.tensor([1.0, 1.0]))
    tensor([3., 7.])

    Gradients per example:

    >>> w = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> per_example = mg.vmap(lambda x: mg.grad(((w * x).sum()) ** 2, w))
    >>> per_example(mg.tensor([[1.0, 0.0], [0.0, 1.0]]))
    tensor([[2., 0.],
            [0., 4.]])
    """

    def mapped(*args: Any, **kwargs: Any) -> Any:
        leaves, rebuild = flatten(args)
        try:
            axes = spread(list(in_axes) if isinstance(in_axes, tuple) else in_axes, args)
        except TypeError as error:
            raise ShapeError(f"vmap: in_axes {error}") from error
        leaves = [x if a is None else ops.asarray(x) for x, a in zip(leaves, axes, strict=True)]
        n = _length(leaves, axes)
        call = _Call(f, leaves, axes, n, rebuild, kwargs, out_axes)
        if MODES.get().recorder is None:
            try:
                return _at_once(call)
            except Exception:  # noqa: BLE001  # what cannot be done at once can be, one by one
                pass
        return _one_by_one(call)

    return mapped


class _Call(NamedTuple):
    """A call of a mapped function: the leaves of its arguments, and the axis of each."""

    f: Callable[..., Any]
    leaves: list[Any]
    axes: list[int | None]
    n: int
    rebuild: Callable[[list[Any]], Any]
    kwargs: dict[str, Any]
    out_axes: Any


def _length(leaves: list[Any], axes: list[Any]) -> int:
    """The number of examples."""
    lengths = []
    for i, (x, axis) in enumerate(zip(leaves, axes, strict=True)):
        if axis is None:
            continue
        if not -x.ndim <= axis < x.ndim:
            raise ShapeError(f"vmap: argument {i} has shape {x.shape}, which has no axis {axis}")
        lengths.append(x.shape[axis])
    if len(set(lengths)) != 1:
        raise ShapeError(f"vmap: the mapped axes need one length, got {lengths}")
    if not lengths[0]:
        raise ShapeError("vmap: the mapped axes have length 0, so the results have no known shape")
    n: int = lengths[0]
    return n


def _places(out_axes: Any, result: Any) -> list[Any]:
    try:
        return spread(out_axes, result)
    except TypeError as error:
        raise ShapeError(f"vmap: out_axes {error}") from error


# -- in and out of batches -------------------------------------------------------------------------


@op(view=True)
def _vmap_enter(xp: Any, x: Array, /, axis: int | None, n: int, leaf: bool = False) -> Array:
    """x as a batch of the n arrays along `axis`, or, with None, one that they share."""
    kind = batches(device_of(x), n)
    return kind(x, True) if axis is None else kind(xp.moveaxis(x, axis, 0))


@op(view=True)
def _vmap_leave(xp: Any, x: Array, /, axis: int, n: int) -> Array:
    """A batch of n examples as one array with the examples along `axis`."""
    full = x.full()
    y = device_of(full).xp.moveaxis(full, 0, axis)
    return y.copy() if x.shared else y


@op
def _vmap_total(xp: Any, x: Array, /, n: int) -> Array:
    """The sum over the n examples."""
    return x.value * n if x.shared else x.value.sum(axis=0)


def _enter_vjp(g: Any, _y: Any, _x: Any, *, axis: int | None, n: int, leaf: bool) -> Any:
    if axis is not None:
        return _vmap_leave(g, axis=axis, n=n)
    if leaf:
        return g
    if _depth(INSIDE.get()) >= _depth(type(g.data if isinstance(g, Tensor) else g)):
        raise LookedAtValuesError("grad: per example, of what was computed for all of them")
    return _vmap_total(g, n=n)


_vmap_enter.defvjp(_enter_vjp)
_vmap_leave.defvjp(lambda g, _y, _x, *, axis, n: _vmap_enter(g, axis=axis, n=n))
_vmap_total.defvjp(lambda g, _y, _x, *, n: _vmap_enter(g, axis=None, n=n))


def shared_by_all(t: Tensor, kind: type[Batch]) -> Tensor:
    """t as a batch of this kind, the same for all examples.

    A leaf has a gradient per example within the function that is mapped, and their sum outside of
    it; so what goes back to a leaf is not summed here but where it ends, in `settled`.
    """
    if type(t.data) is kind:
        return t
    inner = kind.device.inner
    if isinstance(inner, BatchDevice):
        t = shared_by_all(t, inner.kind_of)
    elif t.device is not inner:
        raise DeviceError(f"vmap: a tensor on {t.device} among those on {inner}")
    leaf = t.node is None or bool(t.node.op is _vmap_enter and t.node.params["leaf"])
    lifted: Tensor = _vmap_enter(t, axis=None, n=kind.n, leaf=leaf)
    return lifted


@function
def together(args: Sequence[Any]) -> list[Any] | None:
    """Arguments of several kinds as batches of the deepest one; None if there is none."""
    kinds = [type(a.data) for a in args if isinstance(a, Tensor)]
    deepest = max([INSIDE.get(), *kinds], key=_depth)
    if not _depth(deepest):
        return None
    return [shared_by_all(a, deepest) if isinstance(a, Tensor) else a for a in args]


@function
def settled(g: Any, leaf: Tensor | None = None) -> Any:
    """A gradient that arrives at a leaf, summed over the examples of the vmaps we are not in.

    With `leaf`, over all that the leaf itself is not in: for its `.grad`.
    """
    depth = _depth(INSIDE.get() if leaf is None else type(leaf.data))
    data = g.values if isinstance(g, RowSparse) else g.data if isinstance(g, Tensor) else g
    if _depth(type(data)) <= depth:
        return g
    if isinstance(g, RowSparse):
        g = g.to_dense()
    return settled(_vmap_total(g, n=data.n), leaf)


def _depth(kind: Any) -> int:
    depth: int = getattr(kind, "depth", 0)
    return depth


def _at_once(call: _Call) -> Any:
    """One call of f, on batches."""
    outer = INSIDE.get()
    leaves = [
        shared_by_all(x, outer) if outer is not None and isinstance(x, Tensor) else x
        for x in call.leaves
    ]
    home = next(x for x, a in zip(leaves, call.axes, strict=True) if a is not None).device
    kind = batches(home, call.n)
    inside = [
        x
        if not isinstance(x, Tensor)
        else shared_by_all(x, kind)
        if axis is None
        else _vmap_enter(x, axis=axis, n=call.n)
        for x, axis in zip(leaves, call.axes, strict=True)
    ]
    token = INSIDE.set(kind)
    try:
        result = call.f(*call.rebuild(inside), **call.kwargs)
        found, rebuild = flatten(result)
        parts = [shared_by_all(_tensor(y), kind) for y in found]
    finally:
        INSIDE.reset(token)
    out = []
    for y, axis in zip(parts, _places(call.out_axes, result), strict=True):
        if axis is not None and not -y.ndim - 1 <= axis <= y.ndim:
            raise ShapeError(f"vmap: results of shape {y.shape} have no place for axis {axis}")
        whole = _vmap_leave(y, axis=0 if axis is None else axis, n=call.n)
        out.append(whole[0] if axis is None else whole)
    return rebuild(out)


def _one_by_one(call: _Call) -> Any:
    """One call of f per example."""
    columns = [
        None if axis is None else ops.unstack(x, axis=axis)
        for x, axis in zip(call.leaves, call.axes, strict=True)
    ]
    results: list[list[Any]] = []
    first: Any = None
    for i in range(call.n):
        pairs = zip(columns, call.leaves, strict=True)
        out = call.f(*call.rebuild([x if c is None else c[i] for c, x in pairs]), **call.kwargs)
        if i == 0:
            first = out
        elif structure(out) != structure(first):
            raise ShapeError(f"vmap: the results of examples 0 and {i} differ in structure")
        results.append(flatten(out)[0])
    stacked = [
        _tensor(parts[0]) if axis is None else _stack([_tensor(p) for p in parts], axis)
        for axis, parts in zip(
            _places(call.out_axes, first), zip(*results, strict=True), strict=True
        )
    ]
    return flatten(first)[1](stacked)


def _stack(parts: list[Any], axis: int) -> Any:
    if len({p.shape for p in parts}) > 1:
        raise ShapeError(
            f"vmap: examples gave results of shapes {sorted({p.shape for p in parts})}"
        )
    return ops.stack(parts, axis=axis)


def _tensor(value: Any) -> Tensor:
    if isinstance(value, RowSparse):
        return wrap(value.to_dense())
    return value if isinstance(value, Tensor) else ops.asarray(value)
