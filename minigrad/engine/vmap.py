"""`vmap`: a function of one example as a function of a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ShapeError
from .operators import ops
from .sparse import RowSparse
from .tensor import Tensor, wrap
from .tree import flatten, spread, structure


def vmap(f: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0) -> Callable[..., Any]:
    """A function that maps `f` over an axis of its arguments and stacks the results.

    vmap(f)(x, y)[i] = f(x[i], y[i]). `f` is written for one example; arguments and results may be
    nested tuples, lists and dicts of Tensors. What `f` records is recorded, so the result can be
    differentiated to any order, and `f` may itself differentiate: gradients per example of any
    model, recurrent ones too.

    The cost: `f` is called once per example. This is a loop with vmap's meaning, not a rewriting of
    `f` for batches, and so it takes any `f` that runs, with fused ops, branches on values, printing
    and random numbers (each example draws its own). A model that takes batches runs faster on the
    batch; use vmap for what has no batched form.

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
        columns, n = _columns(leaves, axes)
        results: list[list[Any]] = []
        first: Any = None
        for i in range(n):
            out = f(*rebuild([c[i] if c is not None else x for c, x in columns]), **kwargs)
            if i == 0:
                first = out
            elif structure(out) != structure(first):
                raise ShapeError(f"vmap: the results of examples 0 and {i} differ in structure")
            results.append(flatten(out)[0])
        try:
            places = spread(out_axes, first)
        except TypeError as error:
            raise ShapeError(f"vmap: out_axes {error}") from error
        stacked = [
            _tensor(parts[0]) if axis is None else _stack([_tensor(p) for p in parts], axis)
            for axis, parts in zip(places, zip(*results, strict=True), strict=True)
        ]
        return flatten(first)[1](stacked)

    return mapped


def _columns(leaves: list[Any], axes: list[Any]) -> tuple[list[tuple[Any, Any]], int]:
    """(one slice per example or None, leaf) for each leaf, and the number of examples."""
    columns: list[tuple[Any, Any]] = []
    lengths: dict[int, int] = {}
    for i, (leaf, axis) in enumerate(zip(leaves, axes, strict=True)):
        if axis is None:
            columns.append((None, leaf))
            continue
        x = ops.asarray(leaf)
        if not -x.ndim <= axis < x.ndim:
            raise ShapeError(f"vmap: argument {i} has shape {x.shape}, which has no axis {axis}")
        lengths[i] = x.shape[axis]
        columns.append((ops.unstack(x, axis=axis), leaf))
    if len(set(lengths.values())) != 1:
        raise ShapeError(f"vmap: the mapped axes need one length, got {list(lengths.values())}")
    n = next(iter(lengths.values()))
    if n == 0:
        raise ShapeError("vmap: the mapped axes have length 0, so the results have no known shape")
    return columns, n


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
