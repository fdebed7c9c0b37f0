"""`matmul` on a GPU: any shapes out of the one product that GPU libraries have.

That is C ← A B, or C ← C + A B, for matrices or stacks of as many matrices, each operand any view
with one contiguous axis: transposed, a part of a wider matrix, or one matrix for the whole stack.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from minigrad.backend.device import namespace
from minigrad.backend.gemm import copied, describe, explain
from minigrad.errors import ConfigError, DeviceError, DTypeError, ShapeError

Product = Callable[..., None]
"""product(a, b, out, accumulate=, precision=): (M, K) @ (K, N) or stacks (S, …) of them into `out`,
whose rows are contiguous. No axis is empty; a, b and out have one element type, but that a and b
may be rounded to `precision` already."""

_PRECISION: ContextVar[str | None] = ContextVar("minigrad_precision", default=None)
PRECISIONS = ("float16", "bfloat16", "tf32")


@contextmanager
def precision(name: str | None) -> Iterator[None]:
    """Inside the `with`, GPUs multiply float32 matrices as `name`, and sum in float32.

    "float16" and "bfloat16" round the operands, "tf32" has the hardware round them to 10 bits.

    Raises: ConfigError for another name.
    """
    if name is not None and name not in PRECISIONS:
        raise ConfigError(f"precision is {name!r}, expected one of {', '.join(PRECISIONS)} or None")
    token = _PRECISION.set(name)
    try:
        yield
    finally:
        _PRECISION.reset(token)


def current_precision() -> str | None:
    """What float32 matrices are multiplied as, here and now; None: as they are."""
    return _PRECISION.get()


def rounded(x: Any, precision: str | None) -> Any:
    """NumPy's float32 as the nearest number of `precision`, as float32 again."""
    if precision is None:
        return x
    if precision == "float16":
        return x.astype(np.float16).astype(np.float32)
    lost = {"bfloat16": 16, "tf32": 13}[precision]  # bits of the mantissa
    bits = np.ascontiguousarray(x).view(np.uint32)
    bits = bits + np.uint32((1 << (lost - 1)) - 1) + ((bits >> np.uint32(lost)) & np.uint32(1))
    return (bits >> np.uint32(lost) << np.uint32(lost)).view(np.float32)


def device_matmul(
    product: Product, a: Any, b: Any, out: Any = None, *, accumulate: bool = False
) -> Any:
    """`a @ b` as `matmul` defines it, by one call of `product`."""
    if type(a) is not type(b):
        raise DeviceError(
            f"matmul: a is {describe(a)}, b is {describe(b)}: arrays of different devices. "
            'Move one with .to("cuda") or .to("cpu")'
        )
    if a.ndim == 0 or b.ndim == 0 or a.shape[-1] != b.shape[max(b.ndim - 2, 0)]:
        explain(a, b, out)
    dtype = np.result_type(a.dtype, b.dtype)
    if dtype.kind not in "biufc" and dtype.name != "bfloat16":
        raise DTypeError(f"matmul: there is no product of {a.dtype} and {b.dtype} on this device")
    wanted = current_precision() if dtype == np.float32 else None
    a, b = (x if x.dtype == dtype or x.dtype.name == wanted else x.astype(dtype) for x in (a, b))
    row = a.reshape(1, a.shape[0]) if a.ndim == 1 else a
    column = b.reshape(b.shape[0], 1) if b.ndim == 1 else b
    if column.ndim == 2:  # one large product instead of one per leading index
        lead, row = row.shape[:-2], row.reshape(math.prod(row.shape[:-1]), row.shape[-1])
        stack: tuple[int, ...] = ()
    else:
        try:
            lead = stack = np.broadcast_shapes(row.shape[:-2], column.shape[:-2])
        except ValueError as error:
            explain(a, b, out, error)
        row, column = _stacked(row, stack), _stacked(column, stack)
    shape = lead + a.shape[-2:-1] + b.shape[b.ndim - 1 : b.ndim] * (b.ndim > 1)
    flat = row.shape[:-1] + column.shape[-1:]
    if out is not None and out.shape != shape:
        raise ShapeError(f"matmul: out has shape {out.shape}, the product has {shape}")
    into = None if out is None or out.dtype != dtype else _view(out, flat)
    if into is None and accumulate:
        out += device_matmul(product, a, b)
        return out
    xp = namespace(a)
    if not (row.size and column.size):
        if not accumulate:
            out = xp.zeros(shape, dtype) if out is None else copied(out, xp.zeros(shape, dtype))
        return out
    target = xp.empty(flat, dtype=dtype) if into is None else into
    product(row, column, target, accumulate=accumulate, precision=wanted)
    if into is not None:
        return out
    result = target.reshape(shape)
    return result if out is None else copied(out, result)


def _stacked(x: Any, lead: tuple[int, ...]) -> Any:
    """(…, M, K) as (S, M, K); a copy only if the leading axes are no single step in memory."""
    full = lead + x.shape[-2:]
    if x.shape != full:
        x = namespace(x).broadcast_to(x, full)
    return x if len(lead) == 1 else x.reshape(math.prod(lead), *x.shape[-2:])


def _view(out: Any, flat: tuple[int, ...]) -> Any:
    """`out` in the shape `flat`, sharing its memory, with contiguous rows; None if it cannot be."""
    if out.shape == flat and _rows(out):
        return out
    return out.reshape(flat) if out.flags.c_contiguous else None


def _rows(x: Any) -> bool:
    """Whether its rows are contiguous, and apart from each other."""
    step = x.strides[-2] // x.itemsize
    apart = x.shape[-2] == 1 or step >= x.shape[-1]
    return (x.strides[-1] == x.itemsize or x.shape[-1] == 1) and apart and x.strides[0] > 0
