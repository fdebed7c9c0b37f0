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

from minigrad.backend.device import namespace
from minigrad.errors import DeviceError, DTypeError, ShapeError

GEMMS: dict[type, Callable[[Any, Any, Any], Any]] = {}
"""Array type → its `matmul(a, b, out)`, where NumPy does not multiply; providers add theirs."""

_HALF = np.dtype("float16")


def matmul(a: Any, b: Any, out: Any = None) -> Any:
    """The matrix product `a @ b`, on the device of both.

    Shapes, as in NumPy: (..., M, K) @ (..., K, N) → (..., M, N), leading axes broadcast; a 1-D `a`
    is a row and a 1-D `b` a column, and that axis is dropped from the result. K = 0 gives zeros;
    float16 is summed in float32. `out`, if given, is written and returned.

    Raises: ShapeError if K differs or the leading axes do not broadcast; DTypeError for element
    types the device has no product for; DeviceError if the arrays are of different devices.
    """
    gemm = GEMMS.get(type(a)) or GEMMS.get(type(b))
    if gemm is not None:
        return gemm(a, b, out)
    try:
        if a.dtype == _HALF and b.dtype == _HALF:
            return _half(a, b, out)
        if a.ndim > 2 and b.ndim <= 2 and b.ndim:
            return flattened(np.matmul, a, b, out)
        return np.matmul(a, b) if out is None else np.matmul(a, b, out)
    except (ValueError, TypeError) as error:
        explain(a, b, out, error)


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


def device_matmul(product: Callable[..., Any], a: Any, b: Any, out: Any = None) -> Any:
    """`matmul` out of the two that GPU libraries do well: 2-D @ 2-D, and (S, M, K) @ (S, K, N).

    `product` is called with `out=` only for 2-D arrays, and `out` is then C-contiguous.
    """
    if type(a) is not type(b):
        raise DeviceError(
            f"matmul: a is {_describe(a)}, b is {_describe(b)}: arrays of different devices. "
            'Move one with .to("cuda") or .to("cpu")'
        )
    if a.ndim == 0 or b.ndim == 0 or a.shape[-1] != b.shape[max(b.ndim - 2, 0)]:
        explain(a, b, out)
    dtype = np.result_type(a.dtype, b.dtype)
    plane = b.ndim <= 2 and (dtype.kind in "biu" or dtype.name == "bfloat16")
    if dtype.kind not in "fc" and not plane:
        raise DTypeError(
            f"matmul: this device has no product of {a.dtype} and {b.dtype} for {a.shape} @ "
            f"{b.shape}; cast both to float16, float32 or float64 with .astype"
        )
    if a.ndim == 1 or b.ndim == 1:
        return _vectors(product, a, b, out)
    if b.ndim == 2:
        plain = partial(_plain, product)
        return plain(a, b, out) if a.ndim == 2 else flattened(plain, a, b, out)
    try:
        lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError as error:
        explain(a, b, out, error)
    result = _stacked(product, a, b, lead, dtype)
    return result if out is None else _copied(out, result)


def _plain(product: Callable[..., Any], a: Any, b: Any, out: Any = None) -> Any:
    """2-D @ 2-D; cuBLAS refuses empty matrices, so they never reach it."""
    shape = (a.shape[0], b.shape[1])
    if not (a.size and b.size):
        zeros = namespace(a).zeros(shape, np.result_type(a.dtype, b.dtype))
        return zeros if out is None else _copied(out, zeros)
    if out is None:
        return product(a, b)
    if not out.flags.c_contiguous or out.shape != shape:
        return _copied(out, product(a, b))
    product(a, b, out=out)
    return out


def _vectors(product: Callable[..., Any], a: Any, b: Any, out: Any) -> Any:
    """One operand or both are 1-D: give each a second axis, multiply, drop it."""
    shape = a.shape[:-1] + b.shape[:-2] + (b.shape[-1:] if b.ndim > 1 else ())
    column = b.reshape(b.shape[0], 1) if b.ndim == 1 else b
    row = a.reshape(1, a.shape[0]) if a.ndim == 1 else a
    result = device_matmul(product, row, column).reshape(shape)
    return result if out is None else _copied(out, result)


def _stacked(product: Callable[..., Any], a: Any, b: Any, lead: tuple[int, ...], dtype: Any) -> Any:
    """(..., M, K) @ (..., K, N) with b at least 3-D: leading axes to one, the stacks contiguous."""
    M, K, N, S = a.shape[-2], a.shape[-1], b.shape[-1], math.prod(lead)
    if not (S and M and K and N):
        return namespace(a).zeros(lead + (M, N), dtype)
    if len(lead) == 1 and a.shape[:-2] == b.shape[:-2]:
        return product(a, b)
    a3 = _broadcast(a, lead + (M, K)).reshape(S, M, K)
    b3 = _broadcast(b, lead + (K, N)).reshape(S, K, N)
    return product(a3, b3).reshape(lead + (M, N))


def _broadcast(x: Any, shape: tuple[int, ...]) -> Any:
    return x if x.shape == shape else namespace(x).broadcast_to(x, shape)


def _copied(out: Any, result: Any) -> Any:
    if out.shape != result.shape:
        raise ShapeError(f"matmul: out has shape {out.shape}, the product has {result.shape}")
    out[...] = result
    return out


def _half(a: Any, b: Any, out: Any) -> Any:
    """float16 on the CPU: through float32, which BLAS knows (90 × faster) and GPUs sum in, too."""
    result = matmul(a.astype(np.float32), b.astype(np.float32)).astype(_HALF)
    return result if out is None else _copied(out, result)


def _describe(x: Any) -> str:
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
