"""The one way to multiply matrices.

Every product of minigrad comes through `matmul`, because the array libraries differ here more than
anywhere else. Weights, (..., K) @ (K, N), are multiplied with the leading axes flattened: one large
product instead of one per leading index. On a GPU that is also the product that works best: CuPy's
N-D `matmul` builds tables of pointers, computes float16 in float32 and refuses bfloat16.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import numpy as np

from minigrad.backend import mkl
from minigrad.backend.blas_threads import blas_threads, get_blas_threads
from minigrad.errors import DeviceError, DTypeError, ShapeError

GEMMS: dict[type, Callable[..., Any]] = {}
"""Array type → its `matmul(a, b, out, accumulate=False)`, where NumPy does not multiply; providers
add theirs, made of `device_gemm.device_matmul`."""

OPERANDS: dict[type, Callable[[Any], Any]] = {}
"""Array type → its `operand(a)`, where there is one."""

ndarray = np.ndarray
FLOAT32, FLOAT64 = np.dtype("float32"), np.dtype("float64")
DIVIDED = 1 << 18  # multiplications from which BLAS divides a product over its threads
LARGE = 1 << 26  # and from which that is worth it: about a millisecond


def matmul(a: Any, b: Any, out: Any = None) -> Any:
    """The matrix product `a @ b`, on the device of both.

    Shapes, as in NumPy: (..., M, K) @ (..., K, N) → (..., M, N), leading axes broadcast; a 1-D `a`
    is a row and a 1-D `b` a column, and that axis is dropped from the result. K = 0 gives zeros;
    float16 and bfloat16 are summed in float32. `out`, if given, is written and returned.

    Raises: ShapeError if K differs or the leading axes do not broadcast; DTypeError for element
    types the device has no product for; DeviceError if the arrays are of different devices.
    """
    if type(a) is ndarray and type(b) is ndarray and a.ndim == 2 == b.ndim and out is None:
        # Of small matrices `dot` gives the same bits in half a microsecond less. Where one has gaps
        # it may add up in another order; one with memory of its own has none.
        kind = a.dtype
        if (
            (kind is FLOAT32 or kind is FLOAT64)
            and kind is b.dtype
            and a.size * b.size <= DIVIDED
            and (a.base is None or a.flags.forc)
            and (b.base is None or b.flags.forc)
        ):
            try:
                return a.dot(b)
            except ValueError as error:
                explain(a, b, out, error)
    gemm = GEMMS.get(type(a)) or GEMMS.get(type(b))
    if gemm is not None:
        return gemm(a, b, out)
    try:
        if a.dtype.itemsize == 2 and a.dtype.kind in "fV" and a.dtype == b.dtype:
            return _half(a, b, out)
        product = np.multiply if _is_outer(a, b) else steady(np.matmul, a, b)
        if a.ndim > 2 and b.ndim <= 2 and b.ndim:
            return flattened(product, a, b, out)
        return product(a, b) if out is None else product(a, b, out=out)
    except (ValueError, TypeError) as error:
        explain(a, b, out, error)


def _is_outer(a: Any, b: Any) -> bool:
    """Whether a @ b is outer products, one per leading index: BLAS is slow at many small ones."""
    return a.ndim > 2 < b.ndim and a.shape[-1] == 1 == b.shape[-2] and a.dtype.kind == "f"


def steady(product: Callable[..., Any], a: Any, b: Any) -> Callable[..., Any]:
    """`product`, or MKL's, with one BLAS thread where a @ b is of middling size.

    Two threads save a tenth of a millisecond there; and where another program wants a core, they
    wait for each other a hundred times as long as the product takes.
    """
    product = mkl.quicker(product, a, b)
    if type(a) is type(b) is np.ndarray and b.ndim > 1 and DIVIDED <= a.size * b.shape[-1] < LARGE:
        return partial(_alone, product)
    return product


def _alone(product: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if get_blas_threads() == 1:  # nothing to limit, and no lock to take
        return product(*args, **kwargs)
    with blas_threads(1):
        return product(*args, **kwargs)


def flattened(product: Callable[..., Any], a: Any, b: Any, out: Any = None) -> Any:
    """(..., K) @ (K, N) or (..., K) @ (K,) as one 2-D `product`."""
    lead = a.shape[:-1]
    a2 = a.reshape(math.prod(lead), a.shape[-1])  # -1 would not do: K or another axis may be 0
    if out is None:
        return product(a2, b).reshape(lead + b.shape[1:])
    if not out.flags.c_contiguous or out.shape != lead + b.shape[1:]:
        out[...] = product(a2, b).reshape(lead + b.shape[1:])
        return out
    product(a2, b, out=out.reshape(a2.shape[:1] + b.shape[1:]))
    return out


def accumulate(a: Any, b: Any, out: Any) -> Any:
    """out += a @ b, and `out`: on a GPU without a second pass over `out`.

    Shapes and errors as in `matmul`; the leading axes are those of `out`.

    >>> import numpy as np
    >>> accumulate(np.eye(2), np.ones((2, 2)), np.ones((2, 2)))
    array([[2., 2.],
           [2., 2.]])
    """
    gemm = GEMMS.get(type(a)) or GEMMS.get(type(b))
    if gemm is not None:
        return gemm(a, b, out, accumulate=True)
    out += matmul(a, b)
    return out


def operand(a: Any) -> Any:
    """`a`, a matrix that many products take, as they take it: rounded once, if they round it.

    Inside `amp.autocast` a GPU's float32 products do; the other operand stays as it is.
    """
    prepare = OPERANDS.get(type(a))
    return a if prepare is None else prepare(a)


def _half(a: Any, b: Any, out: Any) -> Any:
    """Half precision on the CPU: in float32, which BLAS knows (90 × faster), and GPUs sum in."""
    result = matmul(a.astype(np.float32), b.astype(np.float32)).astype(a.dtype)
    return result if out is None else copied(out, result)


def copied(out: Any, result: Any) -> Any:
    """`result` in `out`. Raises: ShapeError if it does not fit."""
    if out.shape != result.shape:
        raise ShapeError(f"matmul: out has shape {out.shape}, the product has {result.shape}")
    out[...] = result
    return out


def describe(x: Any) -> str:
    """The array type and shape of x."""
    return f"{type(x).__module__.partition('.')[0]}.{type(x).__name__} {getattr(x, 'shape', '')}"


def explain(a: Any, b: Any, out: Any, cause: Exception | None = None) -> NoReturn:
    """Raise the error that says why `a @ b` cannot be computed."""
    for name, x in (("a", a), ("b", b)):
        if not hasattr(x, "ndim") or not hasattr(x, "dtype"):
            raise DeviceError(f"matmul: {name} is {type(x).__name__}, not an array") from cause
        if x.ndim == 0:
            raise ShapeError(f"matmul: {name} is 0-d and needs an axis; use * to scale") from cause
    if a.shape[-1] != (k := b.shape[max(b.ndim - 2, 0)]):
        raise ShapeError(
            f"matmul: a is {a.shape} and b is {b.shape}: the last axis of a, {a.shape[-1]}, must "
            f"equal {'the length' if b.ndim == 1 else 'the second-to-last axis'} of b, {k}"
        ) from cause
    try:
        np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ShapeError(
            f"matmul: a is {a.shape} and b is {b.shape}: the leading axes {a.shape[:-2]} and "
            f"{b.shape[:-2]} do not broadcast"
        ) from cause
    given = "" if out is None else f", out is {out.shape} {out.dtype}"
    kind = DTypeError if isinstance(cause, TypeError) else ShapeError
    raise kind(
        f"matmul: a is {a.shape} {a.dtype}, b is {b.shape} {b.dtype}{given}: {cause}"
    ) from cause
