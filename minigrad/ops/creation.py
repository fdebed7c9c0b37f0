"""New tensors: from a shape, from a range; triangles and grids.

`device=None` means the default device, `dtype=None` the default floating dtype (float32) unless the
data say otherwise. `requires_grad=True` makes the result a leaf whose gradient is wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import Array, Device, device_of
from ..backend import device as get_device
from ..engine import Tensor, function, op, ops, wrap
from ..errors import ConfigError, ShapeError
from .dtypes import get_default_dtype

__all__ = [
    "arange",
    "empty",
    "empty_like",
    "eye",
    "full",
    "full_like",
    "linspace",
    "meshgrid",
    "ones",
    "ones_like",
    "tril",
    "triu",
    "zeros",
    "zeros_like",
]

Shape = int | tuple[int, ...] | list[int]
Spec = str | Device | None

# -- from a shape ------------------------------------------------------------------------------


def shape_of(shape: Any, what: str) -> tuple[int, ...]:
    """A shape given as an int, a tuple or a list."""
    shape = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    for n in shape:
        if not isinstance(n, int | np.integer) or n < 0:
            raise ShapeError(f"{what}: {shape!r} is no shape; give integers >= 0")
    return tuple(int(n) for n in shape)


def _fresh(
    make: Callable[[Any], Array], device: Spec, requires_grad: bool, name: str | None = None
) -> Tensor:
    where = get_device(device)
    with where.activate():
        t = wrap(make(where.xp))
    if requires_grad:
        t.requires_grad_()
    return t


@function
def zeros(
    shape: Shape, *, dtype: Any = None, device: Spec = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of zeros."""
    shape, dtype = shape_of(shape, "zeros"), dtype or get_default_dtype()
    return _fresh(lambda xp: xp.zeros(shape, dtype=dtype), device, requires_grad)


@function
def ones(
    shape: Shape, *, dtype: Any = None, device: Spec = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of ones."""
    shape, dtype = shape_of(shape, "ones"), dtype or get_default_dtype()
    return _fresh(lambda xp: xp.ones(shape, dtype=dtype), device, requires_grad)


@function
def empty(
    shape: Shape, *, dtype: Any = None, device: Spec = None, requires_grad: bool = False
) -> Tensor:
    """A tensor whose values are whatever the memory held."""
    shape, dtype = shape_of(shape, "empty"), dtype or get_default_dtype()
    return _fresh(lambda xp: xp.empty(shape, dtype=dtype), device, requires_grad)


@function
def full(
    shape: Shape,
    fill_value: float,
    *,
    dtype: Any = None,
    device: Spec = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of `fill_value`; its type gives the dtype.

    >>> import minigrad as mg
    >>> mg.full((2, 2), 7)
    tensor([[7, 7],
            [7, 7]])
    """
    shape = shape_of(shape, "full")
    dtype = dtype or _dtype_of(fill_value)
    return _fresh(lambda xp: xp.full(shape, fill_value, dtype=dtype), device, requires_grad)


def _dtype_of(*numbers: Any) -> Any:
    """The dtype of Python numbers taken together."""
    found = np.result_type(*[np.asarray(n).dtype for n in numbers])
    return get_default_dtype() if found.kind == "f" else found


@function
def zeros_like(
    x: Any, *, dtype: Any = None, device: Spec = None, requires_grad: bool = False
) -> Any:
    """Zeros with the shape, dtype and device of x."""
    return _like(x, "zeros", dtype, device, requires_grad)


@function
def ones_like(
    x: Any, *, dtype: Any = None, device: Spec = None, requires_grad: bool = False
) -> Any:
    """Ones with the shape, dtype and device of x."""
    return _like(x, "ones", dtype, device, requires_grad)


@function
def empty_like(
    x: Any, *, dtype: Any = None, device: Spec = None, requires_grad: bool = False
) -> Any:
    """Whatever the memory held, with the shape, dtype and device of x."""
    return _like(x, "empty", dtype, device, requires_grad)


@function
def full_like(
    x: Any,
    fill_value: float,
    *,
    dtype: Any = None,
    device: Spec = None,
    requires_grad: bool = False,
) -> Any:
    """`fill_value` with the shape, dtype and device of x."""
    return _like(x, "full", dtype, device, requires_grad, fill_value)


def _like(x: Any, maker: str, dtype: Any, device: Spec, requires_grad: bool, *fill: float) -> Any:
    data = x.data if isinstance(x, Tensor) else x
    home = device_of(data) if device is None else get_device(device)
    with home.activate():
        array = getattr(home.xp, maker)(data.shape, *fill, dtype=dtype or data.dtype)
    if not isinstance(x, Tensor):
        return array
    t = wrap(array)
    return t.requires_grad_() if requires_grad else t


# -- from a range ------------------------------------------------------------------------------


@function
def arange(
    start: float,
    stop: float | None = None,
    step: float = 1,
    *,
    dtype: Any = None,
    device: Spec = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, … up to but without `stop`; from 0 if only one number is given.

    >>> import minigrad as mg
    >>> mg.arange(3), mg.arange(0, 1, 0.5)
    (tensor([0, 1, 2]), tensor([0. , 0.5]))
    """
    if stop is None:
        start, stop = 0, start
    if step == 0:
        raise ConfigError("arange: step is 0")
    dtype = dtype or _dtype_of(start, stop, step)
    return _fresh(lambda xp: xp.arange(start, stop, step, dtype=dtype), device, requires_grad)


@function
def linspace(
    start: float,
    stop: float,
    num: int,
    *,
    dtype: Any = None,
    device: Spec = None,
    endpoint: bool = True,
    requires_grad: bool = False,
) -> Tensor:
    """`num` evenly spaced numbers from start to stop, `stop` itself included if `endpoint`."""
    dtype = dtype or get_default_dtype()
    return _fresh(
        lambda xp: xp.linspace(start, stop, num, endpoint=endpoint, dtype=dtype),
        device,
        requires_grad,
    )


@function
def eye(
    n_rows: int,
    n_cols: int | None = None,
    *,
    k: int = 0,
    dtype: Any = None,
    device: Spec = None,
    requires_grad: bool = False,
) -> Tensor:
    """Ones on the k-th diagonal, zeros elsewhere."""
    dtype = dtype or get_default_dtype()
    return _fresh(lambda xp: xp.eye(n_rows, n_cols, k, dtype=dtype), device, requires_grad)


# -- from tensors ------------------------------------------------------------------------------


@op
def tril(xp: Any, x: Array, /, *, k: int = 0) -> Array:
    """x with zeros above the k-th diagonal of its last two axes."""
    return xp.tril(x, k)


@op
def triu(xp: Any, x: Array, /, *, k: int = 0) -> Array:
    """x with zeros below the k-th diagonal of its last two axes."""
    return xp.triu(x, k)


tril.defvjp(lambda g, _y, _x, *, k: tril(g, k=k))
triu.defvjp(lambda g, _y, _x, *, k: triu(g, k=k))


@function
def meshgrid(*arrays: Any, indexing: str = "xy") -> list[Any]:
    """Coordinate grids of n vectors: each broadcast over the axes of the others.

    indexing: "ij", the i-th vector along axis i; "xy", the first two exchanged (as in plots).

    >>> import minigrad as mg
    >>> mg.meshgrid(mg.arange(2), mg.arange(3))[0].shape
    (3, 2)
    """
    if indexing not in ("xy", "ij"):
        raise ConfigError(f"meshgrid: indexing is {indexing!r}; give 'xy' or 'ij'")
    n = len(arrays)
    for a in arrays:
        if a.ndim > 1:
            raise ShapeError(f"meshgrid: expected vectors, got shape {a.shape}")
    axes = list(range(n))
    if indexing == "xy" and n > 1:
        axes[:2] = [1, 0]
    shape = [1] * n
    for axis, a in zip(axes, arrays, strict=True):
        shape[axis] = a.size
    grids = []
    for axis, a in zip(axes, arrays, strict=True):
        along = [1] * n
        along[axis] = a.size
        grids.append(ops.broadcast_to(a.reshape(tuple(along)), tuple(shape)))
    return grids
