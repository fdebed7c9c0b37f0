"""Products of whole numbers on a GPU; see `products.cu`."""

from __future__ import annotations

import numpy as np

from minigrad.backend.device import Array
from minigrad.backend.kernels.kernel import Kernel, over


def _multiply(
    a: Array, _as: int, _ar: int, _at: int, b: Array, _bs: int, _br: int, _bt: int,
    c: Array, _cs: int, _cr: int, add: int, S: int, M: int, K: int, N: int,
) -> None:  # fmt: skip
    product = np.matmul(a, b)
    c[...] = c + product if add else product


MULTIPLY = Kernel("products.cu", "multiply", _multiply)


def multiply(a: Array, b: Array, out: Array, *, accumulate: bool) -> None:
    """out ← a b, or out + a b: matrices, or stacks of as many, of one integer type or of truths.

    a and b lie as they may, out has contiguous rows. Sums wrap around as NumPy's do.
    """
    (M, K), N = a.shape[-2:], b.shape[-1]
    count = out.size // (M * N)
    c = _steps(out)[:2]
    MULTIPLY(over(out.size), a, *_steps(a), b, *_steps(b), out, *c, int(accumulate), count, M, K, N)


def _steps(x: Array) -> tuple[int, int, int]:
    """Elements from matrix to matrix, from row to row, and within a row."""
    between = x.strides[0] if x.ndim == 3 else 0
    return between // x.itemsize, x.strides[-2] // x.itemsize, x.strides[-1] // x.itemsize
