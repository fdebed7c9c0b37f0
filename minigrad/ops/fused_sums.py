"""beta · x + alpha · (a product): PyTorch's addmm and its kin."""

from __future__ import annotations

from typing import Any

from ..engine import function, ops
from ..errors import ShapeError

__all__ = ["addbmm", "addcdiv", "addcmul", "addmm", "addmv", "addr", "baddbmm"]


def _combined(what: str, x: Any, product: Any, beta: float, alpha: float) -> Any:
    """beta · x + alpha · product; x must broadcast to the product."""
    extra = x.ndim - product.ndim
    pairs = zip(x.shape, product.shape[-x.ndim :] if x.ndim else (), strict=False)
    if extra > 0 or any(n not in (1, m) for n, m in pairs):
        raise ShapeError(f"{what}: x is {x.shape}, the product {product.shape}")
    y = product if alpha == 1 else product * alpha
    if beta == 0:  # not even NaN comes through, as in PyTorch
        return y
    return (x if beta == 1 else x * beta) + y


def _axes(what: str, n: int, m: int, a: Any, b: Any) -> None:
    if a.ndim != n or b.ndim != m:
        raise ShapeError(
            f"{what}: arguments of shape {a.shape} and {b.shape}; give {n} and {m} axes"
        )


@function
def addmm(x: Any, a: Any, b: Any, /, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta · x + alpha · (a @ b), for matrices. With beta = 0, x is not looked at.

    Shapes: x broadcasts to (M, N), a (M, K), b (K, N) → (M, N).

    >>> import minigrad as mg
    >>> mg.addmm(mg.ones(2), mg.tensor([[1.0, 2.0]]), mg.eye(2), alpha=10)
    tensor([[11., 21.]])
    """
    _axes("addmm", 2, 2, a, b)
    return _combined("addmm", x, ops.matmul(a, b), beta, alpha)


@function
def addmv(x: Any, a: Any, b: Any, /, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta · x + alpha · (a @ b), for a matrix and a vector. Shapes: (M,), (M, K), (K,) → (M,)."""
    _axes("addmv", 2, 1, a, b)
    return _combined("addmv", x, ops.matmul(a, b), beta, alpha)


@function
def addr(x: Any, a: Any, b: Any, /, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta · x + alpha · a bᵀ, for vectors. Shapes: (M, N), (M,), (N,) → (M, N)."""
    _axes("addr", 1, 1, a, b)
    return _combined("addr", x, ops.outer(a, b), beta, alpha)


@function
def baddbmm(x: Any, a: Any, b: Any, /, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta · x + alpha · (a @ b), for batches of matrices: (B, M, K) @ (B, K, N) → (B, M, N)."""
    _axes("baddbmm", 3, 3, a, b)
    return _combined("baddbmm", x, ops.matmul(a, b), beta, alpha)


@function
def addbmm(x: Any, a: Any, b: Any, /, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta · x + alpha · Σ_b (a_b @ b_b): (B, M, K) and (B, K, N) → (M, N), in one product."""
    _axes("addbmm", 3, 3, a, b)
    return _combined("addbmm", x, ops.tensordot(a, b, axes=((0, 2), (0, 1))), beta, alpha)


@function
def addcmul(x: Any, a: Any, b: Any, /, *, value: float = 1) -> Any:
    """x + value · a · b, elementwise."""
    y = a * b
    return x + (y if value == 1 else y * value)


@function
def addcdiv(x: Any, a: Any, b: Any, /, *, value: float = 1) -> Any:
    """x + value · a / b, elementwise."""
    y = a / b
    return x + (y if value == 1 else y * value)
