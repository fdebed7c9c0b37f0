"""A call of NumPy as calls that write into given memory and allocate nothing.

`lowered` has one rule per kind of function; what has none is called as it is, and its result
copied.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ...errors import CompileError
from .memory import Cell, Ref, leaves, mapped

Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]

STATIC = {
    *(np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.may_share_memory),
    *(np.shares_memory, np.iscomplexobj, np.isrealobj, np.isscalar),
}
"""Functions whose result does not depend on values."""

DATA_DEPENDENT = {
    *(np.nonzero, np.flatnonzero, np.argwhere, np.unique, np.compress, np.extract, np.bincount),
    *(np.unique_all, np.unique_counts, np.unique_inverse, np.unique_values, np.ndarray.nonzero),
    *(np.array_equal, np.array_equiv, np.allclose, np.count_nonzero),
}
"""Functions whose result has a shape that depends on values, or is a Python number."""

WRITERS = {np.copyto, np.put, np.put_along_axis, np.fill_diagonal, np.putmask, np.place}
"""Functions that write into their first argument."""

_COPIES = {
    *(np.ndarray.astype, np.ndarray.copy, np.copy, np.reshape, np.ndarray.flatten),
    *(np.ravel, np.ndarray.ravel, np.ascontiguousarray, np.astype),
}
_TAKE_OUT = {
    *(np.concatenate, np.clip, np.ndarray.clip, np.cumsum, np.ndarray.cumsum, np.cumprod),
    *(np.ndarray.cumprod, np.einsum, np.dot, np.ndarray.dot, np.var, np.ndarray.var, np.std),
    *(np.ndarray.std, np.round, np.ndarray.round, np.argmax, np.ndarray.argmax, np.argmin),
    *(np.ndarray.argmin, np.trace, np.ndarray.trace),
}
_REDUCTIONS = {
    np.sum: np.add.reduce,
    np.prod: np.multiply.reduce,
    np.max: np.maximum.reduce,
    np.amax: np.maximum.reduce,
    np.min: np.minimum.reduce,
    np.amin: np.minimum.reduce,
    np.all: np.logical_and.reduce,
    np.any: np.logical_or.reduce,
}
write = operator.setitem


def plain(function: Any) -> Any:
    """The function that `function` is another spelling of."""
    return _REDUCTIONS.get(function, function)


def owner_of(method: Any) -> Any:
    """The ufunc of `ufunc.reduce` and its like; None for all else."""
    owner = getattr(method, "__self__", None)
    return owner if isinstance(owner, np.ufunc) else None


def lowered(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> list[Call]:
    """Calls that write into `out` (a Ref, or a tuple of them) what `function` returns."""
    if isinstance(function, np.ufunc):
        outs = out if type(out) is tuple else (out,)
        return [(function, (*numbered(args), *outs), kwargs)]
    ufunc = owner_of(function)
    if ufunc is not None and function.__name__ == "reduce":
        return [_reduction(function, out, *args, **kwargs)]
    if ufunc is not None:  # accumulate, reduceat, outer
        return [(function, args, {**kwargs, "out": out})]
    if function in _TAKE_OUT:
        return [(function, args, {**kwargs, "out": out})]
    if function is np.take and kwargs.get("mode", "raise") != "raise":
        return [(function, args, {**kwargs, "out": out})]
    if function in _COPIES and _order(kwargs) and isinstance(args[0], Ref):
        source = args[0]
        return [(write, (_shaped(out, source.shape), ..., source), {})]
    if function is np.where and len(args) == 3:
        condition, x, y = args
        return [(write, (out, ..., y), {}), (np.copyto, (out, x, "unsafe", condition), {})]
    if function is np.stack and type(out) is Ref:
        return _stack(out, *args, **kwargs)
    if function in (np.mean, np.ndarray.mean) and out.dtype.kind == "f":
        return _mean(out, *args, **kwargs)
    return [(store, (function, out, args, kwargs), {})]


def store(function: Any, out: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Call, and copy the result."""
    result = function(*args, **kwargs)
    if type(out) is not tuple:
        out[...] = result
        return
    for place, value in zip(out, result, strict=True):
        if place is not None:
            place[...] = value


def whole(
    function: Any, fused: bool, places: Any, where: str, args: Any, kwargs: dict[str, Any]
) -> None:
    """Call a kernel whole; copy its arrays, and keep in cells what is no array."""
    result = function(*mapped(args, _opened), **mapped(kwargs, _opened))
    values = [*leaves(result[0]), result[1]] if fused else leaves(result)
    for place, value in zip(places, values, strict=True):
        if type(place) is Cell:
            place.put(value)
        elif place is not None:
            if np.shape(value) != place.shape:
                raise CompileError(
                    f"{where}: its result has shape {np.shape(value)}, it had {place.shape} when "
                    "the program was recorded: it depends on values; leave it out of mg.compile"
                )
            place[...] = value


def _opened(leaf: Any) -> Any:
    return leaf.take() if type(leaf) is Cell else leaf


def cells_read(function: Any, args: tuple[Any, ...]) -> list[Cell]:
    """The cells that a call takes values from."""
    return [leaf for leaf in leaves(args[4:]) if type(leaf) is Cell] if function is whole else []


def _order(kwargs: dict[str, Any]) -> bool:
    return kwargs.get("order", "C") in ("C", "K")


def _shaped(ref: Ref, shape: tuple[int, ...]) -> Ref:
    """A fresh C-contiguous result, read in the shape of its source."""
    if ref.shape == shape:
        return ref
    return Ref.compact(ref.memory, shape, ref.dtype, ref.offset)


def numbered(args: Iterable[Any]) -> tuple[Any, ...]:
    """A ufunc's operands, with numbers as 0-d arrays of the dtype they are cast to."""
    args = tuple(args)
    kinds = {a.dtype for a in args if isinstance(a, Ref)}
    if len(kinds) != 1:
        return args
    (dtype,) = kinds
    ranks = {"f": (int, float), "i": (int,), "u": (int,)}.get(dtype.kind, ())
    return tuple(np.asarray(a, dtype) if type(a) in ranks else a for a in args)


def _reduction(
    function: Any,
    out: Ref,
    array: Any,
    axis: Any = 0,
    dtype: Any = None,
    _out: Any = None,
    keepdims: bool = False,
    **kwargs: Any,
) -> Call:
    return function, (array, axis, dtype, out, keepdims), kwargs


def _mean(
    out: Ref, array: Ref, axis: Any = None, dtype: Any = None, *, keepdims: bool = False
) -> list[Call]:
    if dtype is not None or array.dtype != out.dtype or out.dtype.itemsize < 4:
        kwargs = {"axis": axis, "dtype": dtype, "keepdims": keepdims}
        return [(store, (np.mean, out, (array,), kwargs), {})]
    count = np.asarray(array.size // max(out.size, 1), out.dtype)
    total: Call = np.add.reduce, (array, axis, None, out, keepdims), {}
    return [total, (np.true_divide, (out, count, out), {})]


def _stack(out: Ref, arrays: Any, axis: int = 0, **kwargs: Any) -> list[Call]:
    axis = axis % len(out.shape)
    shape = out.shape[:axis] + out.shape[axis + 1 :]
    strides = out.strides[:axis] + out.strides[axis + 1 :]
    calls: list[Call] = []
    for i, a in enumerate(arrays):
        at = out.offset + i * out.strides[axis]
        calls.append((write, (Ref(out.memory, at, shape, strides, out.dtype), ..., a), {}))
    return calls


def resolved(value: Any, resolve: Callable[[Ref], Any]) -> Any:
    """`value` with its Refs made arrays."""
    return mapped(value, lambda leaf: resolve(leaf) if type(leaf) is Ref else leaf)
