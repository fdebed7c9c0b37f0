"""Matrix products of a recurrent loop: weights on the left, features major.

`W (M, K) @ h (K, n)` is faster than `h (n, K) @ Wᵀ`, and faster still cut into blocks: up to
m·k·n = 10⁶ OpenBLAS multiplies without packing, which is worth 10 to 40 %. Only NumPy's arrays are
cut; elsewhere a product is one call.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np

from ...backend import Array, matmul, on_cpu, operand

UNPACKED = 1_000_000  # multiply-adds up to which OpenBLAS's small-matrix kernels are used
NARROW = 64  # columns up to which cutting the inner dimension pays
ROWS = 32  # rows below which a narrow block gets slow


def product(
    xp: Any, a: Array, b: Array, out: Array, new: Callable[..., Array] | None = None
) -> Callable[[], Any]:
    """A function that writes a @ b into `out` at each call; a loop's three buffers never change.

    `new(shape)` makes the room for what it works in.
    """
    (M, K), n = a.shape, b.shape[1]
    if not on_cpu(xp) or a.itemsize < 4:
        return partial(matmul, operand(a), b, out)
    m, k = cut(M, K, n)
    if (m, k) == (M, K):
        columns, inner = cut(n, K, M)  # of b, where a has few rows
        if ROWS <= columns < n and inner == K:
            cuts = (x.reshape(len(x), -1, columns).swapaxes(0, 1) for x in (b, out))
            return partial(np.matmul, a, *cuts)  # xp: allow - NumPy's
        compact = (
            type(out) is np.ndarray and a.flags.forc and b.flags.forc and out.flags.c_contiguous
        )
        call = np.dot if compact else np.matmul  # xp: allow - the same; dot is quicker, but copies
        return partial(call, a, b, out)
    if k == K:
        blocks = _blocks(a, m, k)[0]
        return partial(np.matmul, blocks, b, out.reshape(M // m, m, n))  # xp: allow - the same
    a, b = _blocks(a, m, k), b.reshape(K // k, 1, k, n)
    shape = K // k, M // m, m, n
    parts = xp.empty(shape, dtype=out.dtype) if new is None else new(shape)
    summands = parts.reshape(K // k, M, n)

    def multiply() -> None:
        np.matmul(a, b, parts)  # xp: allow - the same
        xp.add.reduce(summands, 0, None, out)

    return multiply


@lru_cache(maxsize=1024)
def cut(M: int, K: int, n: int) -> tuple[int, int]:
    """The blocks (m, k) of an (M, K) matrix that multiply (K, n) fastest; (M, K) if none are small.

    >>> cut(512, 128, 32)      # four blocks of rows
    (128, 128)
    >>> cut(512, 2048, 20)     # rows would get too short: the inner dimension is cut as well
    (32, 1024)
    """
    if M * K * n <= UNPACKED:
        return M, K
    m = _divisor(M, UNPACKED // (K * n))
    if m < ROWS and n <= NARROW:
        parts = (p for p in range(2, 9) if K % p == 0 and K // p * n * ROWS <= UNPACKED)
        k = K // next(parts, 1)
        wider = _divisor(M, UNPACKED // (k * n))
        if wider >= ROWS:
            return wider, k
    return (m, K) if m else (M, K)


def _divisor(size: int, limit: int) -> int:
    """The largest divisor of `size` up to `limit`, if it is at least 8, else 0."""
    parts = (p for p in range(1, size // 8 + 1) if size % p == 0 and size // p <= limit)
    return size // next(parts, size + 1)


def _blocks(a: Array, m: int, k: int) -> Array:
    """(M, K) as a view (K / k, M / m, m, k), also if it is the transpose of a matrix."""
    M, K = a.shape
    if a.strides[0] < a.strides[1]:
        return a.T.reshape(K // k, k, M // m, m).transpose(0, 2, 3, 1)
    return a.reshape(M // m, m, K // k, k).transpose(2, 0, 1, 3)
