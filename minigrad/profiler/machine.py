"""What this machine can do at best: measured once, in a fraction of a second.

Source: Williams, Waterman & Patterson 2009, "Roofline: an insightful visual performance model".
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ..backend import matmul
from ..backend.blas_threads import get_blas_threads

N = 768  # of the product that is measured: 0.9 GFLOP
SIZE = 1 << 23  # elements of the copy: 32 MB, more than a cache holds


class Roofline(NamedTuple):
    """The best that was measured.

    Attributes:
        flops: floating-point operations per second, of a large float32 product.
        bandwidth: bytes per second that a large copy reads and writes.
    """

    flops: float
    bandwidth: float

    def limit(self, flops: float, nbytes: float) -> float:
        """Operations per second that this much work can reach, given the bytes it must move."""
        return min(self.flops, self.bandwidth * flops / nbytes) if nbytes else self.flops

    def seconds(self, flops: float, nbytes: float) -> float:
        """The least time: for computing, or for moving."""
        return max(flops / self.flops, nbytes / self.bandwidth)


def roofline() -> Roofline:
    """Of this machine, with as many BLAS threads as are set now. Measured once per number.

    >>> import minigrad as mg
    >>> mg.profiler.roofline().flops > 1e8
    True
    """
    return _measured(get_blas_threads() or 0)


@cache
def _measured(threads: int) -> Roofline:
    a, out = np.ones((N, N), "f4"), np.empty((N, N), "f4")
    source, target = np.ones(SIZE, "f4"), np.empty(SIZE, "f4")
    return Roofline(
        2.0 * N**3 / _best(lambda: matmul(a, a, out)),
        2.0 * source.nbytes / _best(lambda: np.copyto(target, source)),
    )


def _best(run: Callable[[], Any]) -> float:
    """Seconds of the quickest of a few runs; the first only warms up."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return max(min(times[1:]), 1e-9)
