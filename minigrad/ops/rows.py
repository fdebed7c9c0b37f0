"""What softmax, attention, losses and norms share: kernels along the last axis, in few passes.

On the CPU three things pay: a sum over the last axis is several times faster as a product with a
vector of ones; scores that are all moderate need no shift before `exp`, so no maximum; and rows are
worked on a block at a time, which stays in the L2 cache from one pass to the next.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from ..backend import Array, fast, matmul, on_cpu
from ..engine import primitive

TAME = 60.0  # scores in ±60 need no shift: neither exp(x) nor its sum overflows or underflows
SMALL = 1 << 12  # elements that are summed in less time than it takes to ask how
BLOCK = 1 << 17  # elements of a block of rows
KEPT = 1 << 16  # ones up to which they are kept for the next call


def blocks(xp: Any, n: int, width: int) -> Iterator[slice]:
    """Slices of n rows of `width` elements, at least one; on a GPU no more than one."""
    step = max(1, BLOCK // max(1, width)) if on_cpu(xp) else max(1, n)
    for start in range(0, max(1, n), step):
        yield slice(start, min(n, start + step))


def row_sums(xp: Any, x: Array, axis: int = -1) -> Array:
    """Σ x along `axis`, which is kept."""
    if not on_cpu(xp) or axis not in (-1, x.ndim - 1) or x.dtype.itemsize < 4 or not x.size:
        return x.sum(axis=axis, keepdims=True)
    ones = _ones(xp, x.shape[-1], x.dtype)
    if xp is np and x.size < SMALL and x.dtype.char in "fd" and x.flags.c_contiguous:
        # The same to the bit, by a shorter way.
        return x.reshape(-1, x.shape[-1]).dot(ones).reshape(*x.shape[:-1], 1)
    return matmul(x, ones[:, None])


def column_sums(xp: Any, x: Array) -> Array:
    """Σ x over the rows of x (N, D): on the CPU a product, which is several times as fast."""
    if x.dtype.itemsize < 4 or not on_cpu(xp):
        return x.sum(axis=0)
    ones = _ones(xp, len(x), x.dtype)
    if xp is np and x.size < SMALL and x.dtype.char in "fd" and x.flags.forc:
        return ones.dot(x)  # the same to the bit, by a shorter way
    return matmul(ones, x)


def _ones(xp: Any, n: int, dtype: Any) -> Array:
    return _kept_ones(n, dtype) if xp is np and n <= KEPT else xp.ones(n, dtype=dtype)


@lru_cache(maxsize=32)
def _kept_ones(n: int, dtype: Any) -> Array:
    return np.ones(n, dtype)


def tame(xp: Any, x: Array) -> bool:
    """Whether exp(x) may be taken as it is; False where finding out would make a GPU wait.

    It looks at values, so it is asked inside of `primitive` only.
    """
    if not on_cpu(xp) or not x.size or x.dtype.itemsize < 4:
        return False
    return bool(x.min() > -TAME and x.max() < TAME)


def shifted_exp(xp: Any, x: Array, axis: int = -1, out: Array | None = None) -> tuple[Array, Any]:
    """(exp(x - top), top): top is the maximum along `axis`, or 0 where no shift is needed.

    It is zeros where all x are -inf.
    """
    if tame(xp, x):
        return xp.exp(x, out=out), 0.0
    top = x.max(axis=axis, keepdims=True)
    e = xp.subtract(x, xp.where(top == -math.inf, 0, top), out=out)
    return xp.exp(e, out=e), top


def rowwise(xp: Any, kernel: Any, arrays: tuple[Array, ...], axis: int) -> Array:
    """A new array, filled by `kernel(xp, *arrays, out, axis)`: block by block along the last axis.

    The arrays have one shape; the kernel treats each row along `axis` on its own.
    """
    x = arrays[0]
    out = xp.empty(x.shape, dtype=x.dtype)
    if not on_cpu(xp):
        kernel(xp, *arrays, out, axis)
    else:
        primitive(_in_blocks, kernel, axis, *arrays, out, writes=(2 + len(arrays),))
    return out


def _in_blocks(kernel: Any, axis: int, *arrays: Any) -> None:
    x = arrays[0]
    last = axis in (-1, x.ndim - 1) and x.size > 0
    compiled = fast.lookup(kernel.__name__, x.dtype) if last else None
    if compiled is None and not (last and x.size > BLOCK):
        kernel(np, *arrays, axis)
        return
    rows = [a.reshape(x.size // x.shape[-1], x.shape[-1]) for a in arrays]
    if compiled is not None:
        compiled(*map(np.ascontiguousarray, rows))
        return
    for block in blocks(np, *rows[0].shape):
        kernel(np, *(each[block] for each in rows), -1)


def softmax(xp: Any, x: Array, out: Array, axis: int) -> None:
    """exp(x) / Σ exp(x)."""
    shifted_exp(xp, x, axis, out)
    out /= row_sums(xp, out, axis)


def log_softmax(xp: Any, x: Array, out: Array, axis: int) -> None:
    """x - log Σ exp(x)."""
    _, top = shifted_exp(xp, x, axis, out)
    xp.subtract(x, xp.log(row_sums(xp, out, axis)) + top, out=out)


def softmax_grad(xp: Any, g: Array, y: Array, out: Array, axis: int) -> None:
    """y ∘ (g - Σ g ∘ y), y a softmax."""
    xp.multiply(g, y, out=out)
    xp.subtract(g, row_sums(xp, out, axis), out=out)
    out *= y


def log_softmax_grad(xp: Any, g: Array, y: Array, out: Array, axis: int) -> None:
    """g - eʸ Σ g, y a log softmax."""
    xp.exp(y, out=out)
    out *= row_sums(xp, g, axis)
    xp.subtract(g, out, out=out)


def cross_entropy(
    xp: Any, x: Array, ids: Array, scale: Array, divisor: Array, *, keep: bool
) -> tuple[Array, Array, Array | None]:
    """(-scale · log softmax(x) at the ids (N,), log Σ exp(x) (N, 1), slope (N, C) or None).

    On the CPU, with the arguments of the compiled kernel. The slope is the loss's / divisor.
    """
    n = len(x)
    loss, logs = xp.empty(n, dtype=x.dtype), xp.empty((n, 1), dtype=x.dtype)
    slope = xp.empty(x.shape, dtype=x.dtype) if keep else None
    writes = (4, 5, 6) if keep else (4, 5)
    primitive(_cross_entropy, x, ids, scale, divisor, loss, logs, slope, writes=writes)
    return loss, logs, slope


def _cross_entropy(
    x: Any, ids: Any, scale: Any, divisor: Any, loss: Any, logs: Any, slope: Any
) -> None:
    for block in blocks(np, *x.shape):
        e, top = shifted_exp(np, x[block], -1, None if slope is None else slope[block])
        total = row_sums(np, e)
        logs[block] = np.log(total) + top
        if slope is not None:
            e *= (scale[block] / divisor)[:, None] / total
    each, counts = np.arange(len(x)), scale != 0
    chosen = np.where(counts, x[each, ids], 0)  # an ignored row's may be -inf
    loss[...] = np.where(counts, scale * (logs[:, 0] - chosen), 0)
    if slope is not None:
        slope[each, ids] -= scale / divisor
