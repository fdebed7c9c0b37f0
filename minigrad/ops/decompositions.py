"""Matrix decompositions: Cholesky, QR, singular values, eigenvalues of symmetric matrices.

All work on the matrices in the last two axes. Half precision is computed in single.

A derivative exists where the factors do not jump. Singular vectors and eigenvectors of values that
coincide do: any rotation among them is as good, so their gradients mean something only in functions
that do not depend on the choice. Between equal values the rules put 0, so that the gradient of the
values alone is right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..backend import Array
from ..engine import Tensor, function, op
from ..errors import ConfigError, GradError, LinAlgError, ShapeError
from .creation import tril
from .elementwise import where
from .joining import concat
from .linalg import matmul
from .shape import matrix_transpose

__all__ = ["cholesky", "eigh", "eigvalsh", "qr", "svd", "svdvals"]


class QRResult(NamedTuple):
    """What `qr` returns."""

    Q: Any
    R: Any


class SVDResult(NamedTuple):
    """What `svd` returns."""

    U: Any
    S: Any
    Vh: Any


class EighResult(NamedTuple):
    """What `eigh` returns."""

    eigenvalues: Any
    eigenvectors: Any


def check_matrix(x: Any, what: str, *, square: bool = False) -> None:
    """Raise: ShapeError unless x holds (square) matrices."""
    if x.ndim < 2 or (square and x.shape[-1] != x.shape[-2]):
        kind = "square matrices (…, M, M)" if square else "matrices (…, M, N)"
        raise ShapeError(f"{what}: x has shape {x.shape}, expected {kind}")


def lapack(what: str, routine: Callable[..., Any], *arrays: Array) -> Any:
    """`routine(*arrays)`; in single precision for half, which LAPACK has not."""
    half = arrays[0].dtype == np.float16
    if half:
        arrays = tuple(a.astype(np.float32) for a in arrays)
    try:
        found = routine(*arrays)
    except np.linalg.LinAlgError as error:
        raise LinAlgError(f"{what}: {error}, for shape {arrays[0].shape}") from error
    if isinstance(found, tuple):
        return tuple(f.astype(np.float16) if half else f for f in found)
    return found.astype(np.float16) if half else found


def symmetric(g: Any) -> Any:
    """The symmetric part: the gradient in the space of symmetric matrices."""
    return (g + matrix_transpose(g)) * 0.5


# -- Cholesky ----------------------------------------------------------------------------------


@op
def _cholesky(xp: Any, x: Array, /) -> Array:
    """The lower triangular L with L Lᵀ = x, for symmetric positive definite x."""
    check_matrix(x, "cholesky", square=True)
    return lapack("cholesky", xp.linalg.cholesky, x)


def _cholesky_vjp(g: Any, y: Any, _x: Any) -> Any:
    """L⁻ᵀ Φ(Lᵀ g) L⁻¹, Φ: the lower triangle with half the diagonal (Murray 2016, eq. 9)."""
    from .solving import solve

    lower = matrix_transpose(y)
    inner = matmul(lower, g)
    inner = (tril(inner) + tril(inner, k=-1)) * 0.5
    return symmetric(solve(lower, matrix_transpose(solve(lower, matrix_transpose(inner)))))


_cholesky.defvjp(_cholesky_vjp)


@function
def cholesky(x: Any, /, *, upper: bool = False) -> Any:
    """The lower triangular L with L Lᵀ = x (or the upper U with Uᵀ U = x).

    Only the lower triangle of x is read, x being symmetric; its gradient is symmetric.

    Raises: LinAlgError if x is not positive definite; ShapeError unless it is square.

    >>> import minigrad as mg
    >>> mg.linalg.cholesky(mg.tensor([[4.0, 2.0], [2.0, 2.0]]))
    tensor([[2., 0.],
            [1., 1.]])
    """
    y = _cholesky(x)
    return matrix_transpose(y) if upper else y


# -- QR ----------------------------------------------------------------------------------------


@op
def _qr(xp: Any, x: Array, /) -> tuple[Array, Array]:
    """Q (…, M, N) with orthonormal columns and upper triangular R, Q R = x, for M ≥ N."""
    q, r = lapack("qr", xp.linalg.qr, x)
    return q, r


def _qr_vjp(gs: Any, ys: Any, _x: Any) -> Any:
    """(gQ + Q copyltu(R gRᵀ - gQᵀ Q)) R⁻ᵀ (Seeger et al. 2017, section 4.3)."""
    from .solving import solve

    (gq, gr), (q, r) = gs, ys
    m = matmul(r, matrix_transpose(gr)) - matmul(matrix_transpose(gq), q)
    m = tril(m) + matrix_transpose(tril(m, k=-1))
    return matrix_transpose(solve(r, matrix_transpose(gq + matmul(q, m))))


_qr.defvjp(_qr_vjp)


@op
def _qr_complete(xp: Any, x: Array, /) -> tuple[Array, Array]:
    """Q (…, M, M) and R (…, M, N): the columns past N are any that complete the basis."""
    q, r = lapack("qr", lambda a: xp.linalg.qr(a, mode="complete"), x)
    return q, r


@function
def qr(x: Any, /, *, mode: str = "reduced") -> QRResult:
    """x = Q R, Q with orthonormal columns, R upper triangular.

    Shapes: x (…, M, N), K = min(M, N) → Q (…, M, K), R (…, K, N); with mode="complete" Q (…, M, M)
    and R (…, M, N), which has no derivative if M > N.

    The first K columns of x must be independent for a derivative.

    Raises: ConfigError for another mode; GradError if a derivative is asked for where none is.

    >>> import minigrad as mg
    >>> q, r = mg.linalg.qr(mg.tensor([[3.0, 1.0], [4.0, 2.0]]))
    >>> mg.allclose(q @ r, [[3.0, 1.0], [4.0, 2.0]], atol=1e-6)
    True
    """
    check_matrix(x, "qr")
    m, n = x.shape[-2:]
    if mode not in ("reduced", "complete"):
        raise ConfigError(f'qr: mode={mode!r}; give "reduced" or "complete"')
    if mode == "complete" and m > n:
        no_derivative(x, 'qr: mode="complete" of a tall matrix', 'mode="reduced"')
        return QRResult(*_qr_complete(x))
    if m >= n:
        return QRResult(*_qr(x))
    q, r = _qr(x[..., :m])  # R's other columns are those of x, seen in the basis Q
    return QRResult(q, concat([r, matmul(matrix_transpose(q), x[..., m:])], axis=-1))


def no_derivative(x: Any, what: str, instead: str) -> None:
    """Raise: GradError if x requires grad, where there is no derivative."""
    if isinstance(x, Tensor) and x.requires_grad:
        raise GradError(f"{what} has no derivative; use {instead}, or x.detach()")


# -- singular values -----------------------------------------------------------------------------


@op
def _svd(xp: Any, x: Array, /) -> tuple[Array, Array, Array]:
    """U (…, M, K), S (…, K) descending, Vh (…, K, N): U diag(S) Vh = x, K = min(M, N)."""
    u, s, vh = lapack("svd", lambda a: xp.linalg.svd(a, full_matrices=False), x)
    return u, s, vh


def _inverse_gaps(values: Any) -> Any:
    """1 / (value j - value i) at (i, j), and 0 where they are equal."""
    gaps = values[..., None, :] - values[..., :, None]
    equal = gaps == 0
    return where(equal, 0, 1 / where(equal, 1, gaps))


def _svd_vjp(gs: Any, ys: Any, _x: Any) -> Any:
    """Townsend, "Differentiating the singular value decomposition" (2016)."""
    (gu, gsv, gvh), (u, s, vh) = gs, ys
    m, n = _x.shape[-2:]
    row, column = s[..., None, :], s[..., :, None]
    f = _inverse_gaps(s * s)
    a = matmul(matrix_transpose(u), gu)
    b = matmul(vh, matrix_transpose(gvh))
    inner = f * (a - matrix_transpose(a)) * row + column * (f * (b - matrix_transpose(b)))
    grad = matmul(matmul(u, inner) + u * gsv[..., None, :], vh)
    if m > n:
        grad = grad + matmul((gu - matmul(u, a)) / row, vh)
    if n > m:
        grad = grad + matmul(u / row, gvh - matmul(matrix_transpose(b), vh))
    return grad


_svd.defvjp(_svd_vjp)


@op
def _svd_full(xp: Any, x: Array, /) -> tuple[Array, Array, Array]:
    """The singular value decomposition with square U and Vh."""
    u, s, vh = lapack("svd", lambda a: xp.linalg.svd(a, full_matrices=True), x)
    return u, s, vh


@function
def svd(x: Any, /, *, full_matrices: bool = True) -> SVDResult:
    """x = U diag(S) Vh with orthonormal columns of U and rows of Vh, S ≥ 0 descending.

    Shapes: x (…, M, N), K = min(M, N) → U (…, M, M), S (…, K), Vh (…, N, N); U (…, M, K) and
    Vh (…, K, N) with `full_matrices=False`.

    The added vectors of the full form have no derivative; `svdvals` gives S alone. A gradient
    through U and Vh needs distinct singular values (and none that is 0 if M ≠ N).

    Raises: GradError for the derivative of the full form unless M = N.
    """
    check_matrix(x, "svd")
    if full_matrices and x.shape[-1] != x.shape[-2]:
        no_derivative(x, "svd: the full form", "full_matrices=False, or svdvals")
        return SVDResult(*_svd_full(x))
    return SVDResult(*_svd(x))


@op
def svdvals(xp: Any, x: Array, /) -> Array:
    """The singular values of x, descending. Shapes: (…, M, N) → (…, min(M, N))."""
    check_matrix(x, "svdvals")
    return lapack("svdvals", lambda a: xp.linalg.svd(a, compute_uv=False), x)


def _svdvals_vjp(g: Any, _y: Any, x: Any) -> Any:
    u, _, vh = _svd(x)
    return matmul(u * g[..., None, :], vh)


svdvals.defvjp(_svdvals_vjp)


# -- eigenvalues ---------------------------------------------------------------------------------


@op
def _eigh(xp: Any, x: Array, /) -> tuple[Array, Array]:
    """Eigenvalues, ascending, and eigenvectors (columns) of symmetric matrices."""
    w, v = lapack("eigh", xp.linalg.eigh, x)
    return w, v


def _eigh_vjp(gs: Any, ys: Any, _x: Any) -> Any:
    """V (F ∘ Vᵀ gV + diag(gw)) Vᵀ, symmetric; F: inverse gaps (Giles 2008, section 3.1)."""
    (gw, gv), (w, v) = gs, ys
    inner = _inverse_gaps(w) * matmul(matrix_transpose(v), gv)
    return symmetric(matmul(matmul(v, inner) + v * gw[..., None, :], matrix_transpose(v)))


_eigh.defvjp(_eigh_vjp)


@function
def eigh(x: Any, /) -> EighResult:
    """Eigenvalues, ascending, and orthonormal eigenvectors (columns) of symmetric matrices.

    Shapes: x (…, M, M) → (…, M), (…, M, M). Only the lower triangle of x is read; its gradient is
    symmetric. A gradient through the eigenvectors needs distinct eigenvalues.

    >>> import minigrad as mg
    >>> mg.linalg.eigh(mg.tensor([[2.0, 0.0], [0.0, 1.0]])).eigenvalues
    tensor([1., 2.])
    """
    check_matrix(x, "eigh", square=True)
    return EighResult(*_eigh(x))


@op
def eigvalsh(xp: Any, x: Array, /) -> Array:
    """The eigenvalues of symmetric matrices, ascending. Shapes: (…, M, M) → (…, M)."""
    check_matrix(x, "eigvalsh", square=True)
    return lapack("eigvalsh", xp.linalg.eigvalsh, x)


def _eigvalsh_vjp(g: Any, _y: Any, x: Any) -> Any:
    _, v = _eigh(x)
    return matmul(v * g[..., None, :], matrix_transpose(v))


eigvalsh.defvjp(_eigvalsh_vjp)
