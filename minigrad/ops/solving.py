"""Linear systems and what comes with them: inverse, determinant, pseudo-inverse, rank, norms.

All work on the matrices in the last two axes. Half precision is computed in single.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..backend import Array, finfo
from ..engine import Tensor, function, op, ops
from ..errors import ConfigError, DTypeError, ShapeError
from .broadcasting import sum_to
from .decompositions import check_matrix, lapack, svdvals
from .elementwise import abs
from .joining import stack, unstack
from .linalg import matmul
from .shape import broadcast_arrays, matrix_transpose, normalize_axis

__all__ = [
    "cross",
    "det",
    "inv",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "pinv",
    "slogdet",
    "solve",
]


class SlogdetResult(NamedTuple):
    """What `slogdet` returns."""

    sign: Any
    logabsdet: Any


# -- systems ---------------------------------------------------------------------------------------


@op
def inv(xp: Any, x: Array, /) -> Array:
    """x⁻¹ of square matrices.

    Raises: LinAlgError if x is singular, on the CPU (on a GPU the result is not finite).
    """
    check_matrix(x, "inv", square=True)
    return lapack("inv", xp.linalg.inv, x)


def _sandwich(y: Any, g: Any) -> Any:
    """yᵀ g yᵀ."""
    y = matrix_transpose(y)
    return matmul(matmul(y, g), y)


inv.defvjp(lambda g, y, _x: -_sandwich(y, g))


@op
def _solve(xp: Any, a: Array, b: Array, /) -> Array:
    """The y with a y = b. Shapes: a (…, M, M), b (…, M, K) → (…, M, K)."""
    check_matrix(a, "solve", square=True)
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError(
            f"solve: x1 has shape {a.shape}, x2 {b.shape}; expected (…, M, M) and (M,) or (…, M, K)"
        )
    if a.ndim != b.ndim or a.shape[:-2] != b.shape[:-2]:
        lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a = xp.broadcast_to(a, lead + a.shape[-2:])
        b = xp.broadcast_to(b, lead + b.shape[-2:])
    return lapack("solve", xp.linalg.solve, a, b)


def _solve_by_a(g: Any, y: Any, a: Any, _b: Any) -> Any:
    z = _solve(matrix_transpose(a), g)
    return sum_to(-matmul(z, matrix_transpose(y)), a.shape)


_solve.defvjp(
    _solve_by_a,
    lambda g, _y, a, _b: sum_to(_solve(matrix_transpose(a), g), _b.shape),
)


@function
def solve(x1: Any, x2: Any, /) -> Any:
    """The y with x1 y = x2, for square x1.

    Shapes: x1 (…, M, M), x2 (M,) → (…, M), or x2 (…, M, K) → (…, M, K); leading axes broadcast.

    Raises: LinAlgError if x1 is singular, on the CPU (on a GPU the result is not finite).

    >>> import minigrad as mg
    >>> mg.linalg.solve(mg.tensor([[2.0, 0.0], [0.0, 4.0]]), mg.tensor([2.0, 2.0]))
    tensor([1. , 0.5])
    """
    if x2.ndim == 1:
        return _solve(x1, x2[:, None])[..., 0]
    return _solve(x1, x2)


# -- determinants ------------------------------------------------------------------------------


@op
def det(xp: Any, x: Array, /) -> Array:
    """The determinant of square matrices. Its gradient is right for singular ones as well."""
    check_matrix(x, "det", square=True)
    return lapack("det", xp.linalg.det, x)


@op
def _cofactors(xp: Any, x: Array, /) -> Array:
    """The matrix of cofactors, det(x) x⁻ᵀ, without dividing: the gradient of det.

    From x = U S Vh: det(U) det(Vh) U C Vh, where C has at i the product of the singular values
    but the i-th.
    """

    def cofactors(a: Array) -> Array:
        u, s, vh = xp.linalg.svd(a, full_matrices=False)
        one = xp.ones_like(s[..., :1])
        before = xp.cumprod(xp.concatenate([one, s[..., :-1]], -1), axis=-1)
        after = xp.cumprod(xp.concatenate([one, s[..., :0:-1]], -1), axis=-1)[..., ::-1]
        sign = xp.linalg.det(u) * xp.linalg.det(vh)
        return matmul(u * (before * after * sign[..., None])[..., None, :], vh)

    return lapack("det", cofactors, x)


def _cofactors_vjp(g: Any, y: Any, x: Any) -> Any:
    """(⟨g, y⟩ y - y gᵀ y) / det(x)."""
    inner = (g * y).sum(axis=(-2, -1), keepdims=True)
    return (inner * y - matmul(matmul(y, matrix_transpose(g)), y)) / det(x)[..., None, None]


det.defvjp(lambda g, _y, x: g[..., None, None] * _cofactors(x))
_cofactors.defvjp(_cofactors_vjp)


@op
def _slogdet(xp: Any, x: Array, /) -> tuple[Array, Array]:
    """The sign and the logarithm of the size of the determinant."""
    check_matrix(x, "slogdet", square=True)
    sign, logabsdet = lapack("slogdet", xp.linalg.slogdet, x)
    return sign, logabsdet


_slogdet.defvjp(lambda gs, _ys, x: gs[1][..., None, None] * matrix_transpose(inv(x)))


@function
def slogdet(x: Any, /) -> SlogdetResult:
    """sign(det x) and log |det x|, where det x itself would over- or underflow.

    The sign has no gradient. Shapes: (…, M, M) → (…), (…).

    >>> import minigrad as mg
    >>> mg.linalg.slogdet(mg.tensor([[-1.0, 0.0], [0.0, 1.0]])).sign
    tensor(-1.)
    """
    return SlogdetResult(*_slogdet(x))


# -- pseudo-inverse and rank -----------------------------------------------------------------------


def _tolerance(x: Any, rtol: Any) -> Any:
    """`rtol` as something that multiplies (…, 1) singular values; None: max(M, N) · eps."""
    if rtol is None:
        return max(x.shape[-2:]) * float(finfo(x.dtype).eps)
    if isinstance(rtol, Tensor):
        rtol = rtol.data
    return rtol[..., None] if getattr(rtol, "ndim", 0) else rtol


@op
def _pinv(xp: Any, x: Array, /, *, rtol: Any) -> Array:
    """The pseudo-inverse: singular values up to rtol times the largest count as 0."""

    def pinv(a: Array) -> Array:
        u, s, vh = xp.linalg.svd(a, full_matrices=False)
        if not s.size:
            return xp.zeros((*a.shape[:-2], a.shape[-1], a.shape[-2]), dtype=a.dtype)
        small = s <= (rtol * s.max(axis=-1, keepdims=True)).astype(s.dtype)
        inverse = xp.where(small, 0, 1 / xp.where(small, 1, s)).astype(s.dtype)
        return matmul(vh.swapaxes(-1, -2) * inverse[..., None, :], u.swapaxes(-1, -2))

    return lapack("pinv", pinv, x)


def _pinv_vjp(g: Any, y: Any, x: Any, *, rtol: Any) -> Any:
    """Golub and Pereyra (1973), for constant rank."""
    p, pt, gt = y, matrix_transpose(y), matrix_transpose(g)
    grad = -matmul(matmul(pt, g), pt)
    left = matmul(matmul(gt, p), pt)  # (I - x p) gᵀ p pᵀ
    right = matmul(matmul(pt, p), gt)  # pᵀ p gᵀ (I - p x)
    grad = grad + left - matmul(x, matmul(p, left))
    return grad + right - matmul(matmul(right, p), x)


_pinv.defvjp(_pinv_vjp)


@function
def pinv(x: Any, /, *, rtol: Any = None) -> Any:
    """The Moore-Penrose pseudo-inverse. Shapes: (…, M, N) → (…, N, M).

    Singular values up to `rtol` times the largest count as 0; by default max(M, N) · eps. The
    gradient is that for matrices of the same rank.
    """
    check_matrix(x, "pinv")
    return _pinv(x, rtol=_tolerance(x, rtol))


@function
def matrix_rank(x: Any, /, *, rtol: Any = None) -> Any:
    """How many singular values exceed `rtol` times the largest; by default max(M, N) · eps.

    >>> import minigrad as mg
    >>> mg.linalg.matrix_rank(mg.ones((3, 3)))
    tensor(1)
    """
    s = svdvals(x)
    if not s.size:
        return s.astype(np.int64).sum(axis=-1)
    top = s.max(axis=-1, keepdims=True)
    return (s > top * _tolerance(x, rtol)).sum(axis=-1)


# -- powers, products and norms --------------------------------------------------------------------


@function
def matrix_power(x: Any, n: int, /) -> Any:
    """x multiplied with itself, n factors in all; of the inverse for n < 0, the identity for 0."""
    check_matrix(x, "matrix_power", square=True)
    if not isinstance(n, int | np.integer) or isinstance(n, bool):
        raise DTypeError(f"matrix_power: n is {n!r}, expected an integer")
    if n == 0:
        data = x.data if isinstance(x, Tensor) else x
        index = ops.cumulative_sum(ops.ones_like(data[..., 0], dtype=np.int64), axis=-1)
        unit = (index[..., :, None] == index[..., None, :]).astype(x.dtype)
        return ops.asarray(unit) if isinstance(x, Tensor) else unit
    base, y, n = (inv(x) if n < 0 else x), None, int(n) if n > 0 else -int(n)
    while n:
        if n & 1:
            y = base if y is None else matmul(y, base)
        n >>= 1
        base = matmul(base, base) if n else base
    return ops.copy(y) if y is x else y


@function
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """A norm of matrices.

    ord: "fro" √Σ x², "nuc" Σ singular values, 2 and -2 the largest and the smallest of them, 1 and
    -1 the largest and smallest column sum of |x|, inf and -inf that of rows.

    Raises: ConfigError for another ord.
    """
    check_matrix(x, "matrix_norm")
    if ord in ("fro", None):
        return ops.norm(x, axis=(-2, -1), keepdims=keepdims)
    if ord in (1, -1, math.inf, -math.inf):
        terms = abs(x).sum(axis=-2 if ord in (1, -1) else -1, keepdims=True)
    elif ord in (2, -2, "nuc"):
        terms = svdvals(x)[..., None]
    else:
        raise ConfigError(f'matrix_norm: ord={ord!r}; give "fro", "nuc", ±1, ±2 or ±inf')
    reduce = terms.sum if ord == "nuc" else terms.max if ord > 0 else terms.min
    y = reduce(axis=(-2, -1), keepdims=True)
    return y if keepdims else y.reshape(x.shape[:-2])


@function
def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """The vector product in three dimensions, which stand along `axis`; other axes broadcast.

    >>> import minigrad as mg
    >>> mg.linalg.cross(mg.tensor([1.0, 0.0, 0.0]), mg.tensor([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
    """
    x1, x2 = broadcast_arrays(x1, x2)
    axis = normalize_axis(axis, x1.ndim, what="cross")
    if x1.shape[axis] != 3:
        raise ShapeError(f"cross: axis {axis} of {x1.shape} has not length 3")
    (a, b, c), (d, e, f) = unstack(x1, axis=axis), unstack(x2, axis=axis)
    return stack([b * f - c * e, c * d - a * f, a * e - b * d], axis=axis)
