"""Products: matmul and its relatives. Every one of them ends in `backend.matmul`.

A gradient by a weight is one product with the leading axes flattened, not a sum of many.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import backend
from ..backend import Array
from ..engine import function, op, ops
from ..errors import ShapeError
from .broadcasting import sum_to
from .reduction import norm
from .shape import diagonal, matrix_transpose, normalize_axis, permute_dims, reshape

__all__ = ["matmul", "outer", "tensordot", "trace", "vecdot", "vector_norm"]


def rows_of(x: Any) -> Any:
    """x with all axes but the last joined into one."""
    return x if x.ndim == 2 else x.reshape((math.prod(x.shape[:-1]), x.shape[-1]))


def _transposed(x: Any) -> Any:
    return x.T if x.ndim == 2 else matrix_transpose(x)


@op
def matmul(xp: Any, a: Array, b: Array, /) -> Array:
    """The matrix product a @ b.

    Shapes: (…, M, K) @ (…, K, N) → (…, M, N), leading axes broadcast; a 1-D `a` is a row and a 1-D
    `b` a column, and that axis is dropped from the result.

    Raises: ShapeError if K differs or the leading axes do not broadcast.
    """
    return backend.matmul(a, b)


def _matmul_by_a(g: Any, _y: Any, _a: Any, b: Any) -> Any:
    if b.ndim == 2 and g.ndim == 2:
        return matmul(g, b.T)
    if b.ndim == 1:
        return g[..., None] * b
    if _a.ndim == 1:
        return sum_to(matmul(b, g[..., None])[..., 0], _a.shape)
    return sum_to(matmul(g, _transposed(b)), _a.shape)


def _matmul_by_b(g: Any, _y: Any, a: Any, _b: Any) -> Any:
    if a.ndim == 2 and g.ndim == 2:
        return matmul(a.T, g)
    if a.ndim == 1:
        return g * a if _b.ndim == 1 else a[:, None] * g[..., None, :]
    if _b.ndim == 1:
        return matmul(g.reshape((g.size,)), rows_of(a))
    if _b.ndim == 2:
        return matmul(rows_of(a).T, rows_of(g))
    return sum_to(matmul(_transposed(a), g), _b.shape)


matmul.defvjp(_matmul_by_a, _matmul_by_b)


@function
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """Σ x1 · x2 along `axis`, the other axes broadcast."""
    if not -min(x1.ndim, x2.ndim) <= axis < 0 or x1.shape[axis] != x2.shape[axis]:
        raise ShapeError(
            f"vecdot: x1 {x1.shape} and x2 {x2.shape} have no common axis {axis}; "
            "it is counted from the end"
        )
    products = x1 * x2
    return ops.sum(products, axis=axis, dtype=products.dtype)


@function
def outer(x1: Any, x2: Any, /) -> Any:
    """The products of all pairs of elements. Shapes: (N,), (M,) → (N, M)."""
    if x1.ndim != 1 or x2.ndim != 1:
        raise ShapeError(f"outer: needs two vectors, got {x1.shape} and {x2.shape}")
    return reshape(x1, (-1, 1)) * x2


@function
def tensordot(x1: Any, x2: Any, /, *, axes: int | Sequence[Sequence[int]] = 2) -> Any:
    """Σ x1 · x2 over pairs of axes: the last `axes` of x1 with the first of x2, or those listed.

    One matrix product. Shapes: the axes left of x1, then those left of x2.
    """
    pairs: Any = axes
    if isinstance(axes, int):
        pairs = range(x1.ndim - axes, x1.ndim), range(axes)
    left, right = [
        [normalize_axis(a, x.ndim, what="tensordot") for a in ([p] if isinstance(p, int) else p)]
        for p, x in zip(pairs, (x1, x2), strict=True)
    ]
    if [x1.shape[a] for a in left] != [x2.shape[a] for a in right]:
        raise ShapeError(f"tensordot: axes {left} of {x1.shape}, {right} of {x2.shape} differ")
    rest1 = [a for a in range(x1.ndim) if a not in left]
    rest2 = [a for a in range(x2.ndim) if a not in right]
    n = math.prod(x1.shape[a] for a in left)
    shape1, shape2 = (tuple(x.shape[a] for a in r) for x, r in ((x1, rest1), (x2, rest2)))
    a = reshape(permute_dims(x1, (*rest1, *left)), (math.prod(shape1), n))
    b = reshape(permute_dims(x2, (*right, *rest2)), (n, math.prod(shape2)))
    return reshape(matmul(a, b), shape1 + shape2)


@function
def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """The sum of the diagonal of the matrices in the last two axes, in `dtype` if it is given."""
    return ops.sum(diagonal(x, offset=offset), axis=-1, dtype=dtype)


@function
def vector_norm(
    x: Any,
    /,
    *,
    axis: int | tuple[int, ...] | None = None,
    keepdims: bool = False,
    ord: float = 2,
) -> Any:
    """(Σ |x|^ord)^(1/ord) over `axis`, and for ord=0 the number of elements that are not 0.

    `norm` under the name that the Array API standard has for it.
    """
    if ord == 0:
        return ops.count_nonzero(x, axis=axis, keepdims=keepdims).astype(x.dtype)
    return norm(x, axis=axis, keepdims=keepdims, ord=ord)
