"""What NumPy's functions do with a tensor: `np.concatenate([t, u])` is `mg.concat([t, u])`.

Each entry of the table has NumPy's signature and makes minigrad's call, so the result is a Tensor
and stays differentiable. What only looks at arrays (printing, saving, comparing as a whole) runs on
the host's values. All else raises and says what to write instead.
"""

# ruff: noqa: PLW0108 (the ops are looked up when they are called: this module imports none)

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..engine import Tensor, function, ops

__all__: list[str] = []

_HOST = frozenset(
    """
    allclose array2string array_equal array_equiv array_repr array_str can_cast common_type isclose
    iscomplexobj isrealobj may_share_memory min_scalar_type result_type save savetxt savez
    savez_compressed shares_memory
    """.split()  # noqa: SIM905 (a list of one name per line is no easier to read)
)
_INSTEAD = {  # minigrad's words for functions it has no counterpart of
    "append": "mg.concat",
    "column_stack": "mg.stack(…, axis=1)",
    "dstack": "mg.stack(…, axis=2)",
    "histogram": "t.detach().numpy()",
    "inner": "mg.tensordot, or mg.linear",
    "insert": "mg.concat",
    "nanmax": "mg.where(mg.isnan(x), -mg.inf, x) and mg.max",
    "nanmean": "mg.where(mg.isnan(x), 0, x) and mg.sum",
    "nanmin": "mg.where(mg.isnan(x), mg.inf, x) and mg.min",
    "nansum": "mg.where(mg.isnan(x), 0, x) and mg.sum",
    "partition": "mg.sort",
}


@function
def numpy_function(f: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """The answer to NumPy's function `f` of tensors.

    Raises: TypeError for a function, or an argument, without a differentiable counterpart.
    """
    module = "np.linalg." if "linalg" in f.__module__ else "np."
    call = module + f.__name__
    if module == "np." and f.__name__ in _HOST:
        return f(*[_host(a) for a in args], **{k: _host(v) for k, v in kwargs.items()})
    entry = _TABLE.get(call)
    if entry is None:
        ours = f"mg.{f.__name__}" if hasattr(ops, f.__name__) else "t.detach().numpy()"
        hint = f"use {_INSTEAD.get(f.__name__, ours)}"
        raise TypeError(f"{call}: not defined for tensors; {hint}")
    if kwargs.get("out") is not None:
        raise TypeError(f"{call}: a tensor is never written into; use the result, or t.assign_(…)")
    signature = inspect.signature(entry)
    known = signature.parameters
    given = {
        k: v
        for k, v in kwargs.items()
        if v is not np._NoValue and (v is not None or k in known)  # defaults, spelled out
    }
    try:
        bound = signature.bind(*args, **given)
    except TypeError as error:
        takes = ", ".join(known)
        raise TypeError(f"{call}: {error}; for tensors it takes ({takes})") from None
    return entry(*bound.args, **bound.kwargs)


def _host(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_host(v) for v in value)
    return value.numpy() if isinstance(value, Tensor) else value


def _same(*names: str) -> dict[str, Callable[..., Any]]:
    """Functions of one array, and nothing else."""

    def entry(name: str) -> Callable[..., Any]:
        return lambda x: getattr(ops, name)(x)

    return {f"np.{name}": entry(name) for name in names}


def _reduction(name: str) -> Callable[..., Any]:
    def entry(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
        return getattr(ops, name)(a, axis=axis, keepdims=keepdims)

    return entry


def _moment(name: str) -> Callable[..., Any]:
    def entry(
        a: Any, axis: Any = None, *, ddof: float = 0, correction: Any = None, keepdims: bool = False
    ) -> Any:
        correction = ddof if correction is None else correction
        return getattr(ops, name)(a, axis=axis, correction=correction, keepdims=keepdims)

    return entry


def _total(name: str) -> Callable[..., Any]:
    def entry(a: Any, axis: Any = None, dtype: Any = None, *, keepdims: bool = False) -> Any:
        return getattr(ops, name)(a, axis=axis, dtype=dtype, keepdims=keepdims)

    return entry


def _running(name: str) -> Callable[..., Any]:
    def entry(a: Any, axis: int | None = None, dtype: Any = None) -> Any:
        flat = ops.reshape(a, (-1,)) if axis is None else a
        return getattr(ops, name)(flat, axis=axis or 0, dtype=dtype)

    return entry


def _joined(axis: int) -> Callable[..., Any]:
    def entry(tup: Any) -> Any:
        if axis == 0:
            return ops.concat([_at_least(a, 2) for a in tup], axis=0)
        parts = [_at_least(a, 1) for a in tup]
        return ops.concat(parts, axis=0 if parts[0].ndim == 1 else 1)

    return entry


def _at_least(x: Any, ndim: int) -> Any:
    while x.ndim < ndim:
        x = ops.expand_dims(x, axis=0)
    return x


def _where(condition: Any, x: Any = None, y: Any = None, /) -> Any:
    return ops.nonzero(condition) if x is None and y is None else ops.where(condition, x, y)


def _concatenate(arrays: Any, /, axis: int | None = 0) -> Any:
    return ops.concat([ops.asarray(a) for a in arrays], axis=axis)


def _stack(arrays: Any, axis: int = 0) -> Any:
    return ops.stack([ops.asarray(a) for a in arrays], axis=axis)


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    if axis is None and ord is None:
        return ops.norm(x, keepdims=keepdims)
    axes = tuple(range(x.ndim)) if axis is None else axis
    if isinstance(axes, int) or len(axes) == 1:
        return ops.vector_norm(x, axis=axes, ord=2 if ord is None else ord, keepdims=keepdims)
    moved = ops.moveaxis(x, axes, (-2, -1))
    y = ops.matrix_norm(moved, ord="fro" if ord is None else ord, keepdims=keepdims)
    return ops.moveaxis(y, (-2, -1), axes) if keepdims else y


def _each(arrays: tuple[Any, ...], ndim: int) -> Any:
    found = tuple(_at_least(ops.asarray(a), ndim) for a in arrays)
    return found[0] if len(found) == 1 else found


def _dot(a: Any, b: Any) -> Any:
    if not np.ndim(a) or not np.ndim(b):
        return a * b
    if b.ndim <= 2:
        return ops.matmul(a, b)
    return ops.tensordot(a, b, axes=((a.ndim - 1,), (b.ndim - 2,)))


def _quantile(
    a: Any, q: Any, axis: Any = None, *, method: str = "linear", keepdims: Any = False
) -> Any:
    return ops.quantile(a, q, axis=axis, keepdims=keepdims, interpolation=method)


_TABLE: dict[str, Callable[..., Any]] = {
    **_same("copy", "nonzero", "matrix_transpose"),
    **_same("unique_all", "unique_counts", "unique_inverse", "unique_values"),
    **{f"np.{n}": _reduction(n) for n in ("all", "any", "max", "min", "count_nonzero", "mean")},
    **{f"np.{n}": _reduction(n) for n in ("argmax", "argmin")},
    "np.amax": _reduction("max"),
    "np.amin": _reduction("min"),
    "np.var": _moment("var"),
    "np.std": _moment("std"),
    "np.sum": _total("sum"),
    "np.prod": _total("prod"),
    "np.cumsum": _running("cumulative_sum"),
    "np.cumprod": _running("cumulative_prod"),
    "np.cumulative_sum": lambda x, /, *, axis=None, dtype=None, include_initial=False: (
        ops.cumulative_sum(x, axis=axis, dtype=dtype, include_initial=include_initial)
    ),
    "np.cumulative_prod": lambda x, /, *, axis=None, dtype=None, include_initial=False: (
        ops.cumulative_prod(x, axis=axis, dtype=dtype, include_initial=include_initial)
    ),
    "np.diff": lambda a, n=1, axis=-1, prepend=None, append=None: ops.diff(
        a, n=n, axis=axis, prepend=prepend, append=append
    ),
    # shapes
    "np.shape": lambda a: a.shape,
    "np.ndim": lambda a: a.ndim,
    "np.size": lambda a, axis=None: a.size if axis is None else a.shape[axis],
    "np.reshape": lambda a, /, shape: ops.reshape(a, shape),
    "np.ravel": lambda a: ops.reshape(a, (-1,)),
    "np.transpose": lambda a, axes=None: ops.permute_dims(
        a, tuple(range(a.ndim))[::-1] if axes is None else tuple(axes)
    ),
    "np.permute_dims": lambda a, axes=None: ops.permute_dims(
        a, tuple(range(a.ndim))[::-1] if axes is None else tuple(axes)
    ),
    "np.swapaxes": lambda a, axis1, axis2: ops.moveaxis(a, (axis1, axis2), (axis2, axis1)),
    "np.moveaxis": lambda a, source, destination: ops.moveaxis(a, source, destination),
    "np.expand_dims": lambda a, axis: ops.expand_dims(a, axis=axis),
    "np.squeeze": lambda a, axis=None: a.squeeze(axis),
    "np.broadcast_to": lambda array, shape: ops.broadcast_to(
        array, shape if isinstance(shape, tuple) else (shape,)
    ),
    "np.broadcast_arrays": lambda *args: ops.broadcast_arrays(*args),
    "np.atleast_1d": lambda *arys: _each(arys, 1),
    "np.atleast_2d": lambda *arys: _each(arys, 2),
    "np.flip": lambda m, axis=None: ops.flip(m, axis=axis),
    "np.fliplr": lambda m: ops.flip(m, axis=1),
    "np.flipud": lambda m: ops.flip(m, axis=0),
    "np.roll": lambda a, shift, axis=None: ops.roll(a, shift, axis=axis),
    "np.tile": lambda A, reps: ops.tile(A, reps if isinstance(reps, tuple) else (reps,)),
    "np.repeat": lambda a, repeats, axis=None: ops.repeat(a, repeats, axis=axis),
    "np.pad": lambda array, pad_width, mode="constant", *, constant_values=0: ops.pad(
        array, pad_width, mode, constant_values=constant_values
    ),
    "np.diag": lambda v, k=0: ops.diag(v, k),
    "np.diagonal": lambda a, offset=0, axis1=0, axis2=1: ops.diagonal(
        a, offset=offset, axis1=axis1, axis2=axis2
    ),
    "np.trace": lambda a, offset=0, axis1=0, axis2=1: ops.diagonal(
        a, offset=offset, axis1=axis1, axis2=axis2
    ).sum(axis=-1),
    "np.tril": lambda m, k=0: ops.tril(m, k=k),
    "np.triu": lambda m, k=0: ops.triu(m, k=k),
    "np.meshgrid": lambda *xi, indexing="xy": ops.meshgrid(*xi, indexing=indexing),
    # joining and splitting
    "np.concatenate": _concatenate,
    "np.concat": _concatenate,
    "np.stack": _stack,
    "np.vstack": _joined(0),
    "np.hstack": _joined(1),
    "np.split": lambda ary, indices_or_sections, axis=0: list(
        ops.split(ary, indices_or_sections, axis=axis)
    ),
    # choosing and order
    "np.where": _where,
    "np.clip": lambda a, a_min=None, a_max=None, *, min=None, max=None: ops.clip(
        a, a_min if min is None else min, a_max if max is None else max
    ),
    "np.take": lambda a, indices, axis=None: ops.take(
        ops.reshape(a, (-1,)) if axis is None else a, indices, axis=axis or 0
    ),
    "np.take_along_axis": lambda arr, indices, axis=-1: ops.take_along_axis(
        arr, indices, axis=axis
    ),
    "np.sort": lambda a, axis=-1, kind=None, *, stable=None: ops.sort(a, axis=axis),
    "np.argsort": lambda a, axis=-1, kind=None, *, stable=None: ops.argsort(a, axis=axis),
    "np.median": lambda a, axis=None, *, keepdims=False: ops.quantile(
        a, 0.5, axis=axis, keepdims=keepdims
    ),
    "np.quantile": _quantile,
    "np.percentile": lambda a, q, axis=None, *, method="linear", keepdims=False: _quantile(
        a, np.asarray(q) / 100, axis, method=method, keepdims=keepdims
    ),
    "np.searchsorted": lambda a, v, side="left", sorter=None: ops.searchsorted(
        a, v, sorter=sorter, side=side
    ),
    "np.round": lambda a, decimals=0: ops.round(a, decimals=decimals),
    "np.around": lambda a, decimals=0: ops.round(a, decimals=decimals),
    "np.unstack": lambda x, /, *, axis=0: ops.unstack(x, axis=axis),
    "np.astype": lambda x, dtype, /, *, copy=True: ops.astype(x, dtype, copy=copy),
    # like another array
    "np.zeros_like": lambda a, dtype=None: ops.zeros_like(a, dtype=dtype),
    "np.ones_like": lambda a, dtype=None: ops.ones_like(a, dtype=dtype),
    "np.empty_like": lambda prototype, dtype=None: ops.empty_like(prototype, dtype=dtype),
    "np.full_like": lambda a, fill_value, dtype=None: ops.full_like(a, fill_value, dtype=dtype),
    # products
    "np.dot": lambda a, b: _dot(a, b),
    "np.vdot": lambda a, b: ops.vecdot(ops.reshape(a, (-1,)), ops.reshape(b, (-1,))),
    "np.outer": lambda a, b: ops.outer(ops.reshape(a, (-1,)), ops.reshape(b, (-1,))),
    "np.tensordot": lambda a, b, axes=2: ops.tensordot(a, b, axes=axes),
    "np.einsum": lambda subscripts, /, *operands: ops.einsum(subscripts, *operands),
    # linear algebra
    "np.linalg.norm": _norm,
    "np.linalg.vector_norm": lambda x, /, *, axis=None, keepdims=False, ord=2: ops.vector_norm(
        x, axis=axis, keepdims=keepdims, ord=ord
    ),
    "np.linalg.matrix_norm": lambda x, /, *, keepdims=False, ord="fro": ops.matrix_norm(
        x, keepdims=keepdims, ord=ord
    ),
    **{
        f"np.linalg.{name}": lambda a, name=name: getattr(ops, name)(a)
        for name in ("det", "inv", "slogdet", "svdvals", "matrix_transpose")
    },
    "np.linalg.cholesky": lambda a, /, *, upper=False: ops.cholesky(a, upper=upper),
    "np.linalg.eigh": lambda a: ops.eigh(a),
    "np.linalg.eigvalsh": lambda a: ops.eigvalsh(a),
    "np.linalg.qr": lambda a, mode="reduced": ops.qr(a, mode=mode),
    "np.linalg.svd": lambda a, full_matrices=True: ops.svd(a, full_matrices=full_matrices),
    "np.linalg.solve": lambda a, b: ops.solve(a, b),
    "np.linalg.pinv": lambda a, *, rtol=None: ops.pinv(a, rtol=rtol),
    "np.linalg.matrix_rank": lambda A, *, rtol=None: ops.matrix_rank(A, rtol=rtol),
    "np.linalg.matrix_power": lambda a, n: ops.matrix_power(a, n),
    "np.linalg.outer": lambda x1, x2, /: ops.outer(x1, x2),
    "np.linalg.cross": lambda x1, x2, /, *, axis=-1: ops.cross(x1, x2, axis=axis),
}
