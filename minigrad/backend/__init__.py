"""What differs between NumPy and CuPy, and nothing else: devices, GEMM, random streams, DLPack.

Neutral code takes its array namespace from the array in hand and never names a device:

>>> import numpy as np
>>> from minigrad import backend
>>> x = backend.device("cpu").asarray([1.0, 2.0])
>>> xp = backend.namespace(x)
>>> xp is np
True
>>> backend.device_of(x)
device('cpu')
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minigrad.backend import fast
from minigrad.backend.device import (
    NAMESPACES,
    NUMPY,
    Array,
    Device,
    Instead,
    device,
    device_of,
    instead,
    namespace,
    on_cpu,
    register,
    use_device,
)
from minigrad.backend.dlpack import from_dlpack
from minigrad.backend.gemm import accumulate, matmul, operand
from minigrad.backend.half import bfloat16, finfo, is_dtype
from minigrad.backend.heap import keep_freed
from minigrad.backend.random import Stream, get_rng_state, initial_seed, manual_seed, set_rng_state
from minigrad.backend.threads import get_num_threads, set_num_threads

keep_freed()


def chain(
    name: str, formula: Callable[..., Any], arrays: int, numbers: Sequence[str], scratch: int
) -> Any:
    """A GPU's kernel of a formula of elementwise calls, or None; see `kernels.chain`."""
    from minigrad.backend.kernels.chain import chain

    return chain(name, formula, arrays, numbers, scratch)


def fused(xp: Any, name: str, dtype: Any) -> Callable[..., Any] | None:
    """The compiled kernel `name` for arrays of `dtype`; None where there is none.

    What each takes says `minigrad.backend.kernels`, for GPUs; `minigrad.backend.fast`, for the CPU,
    has the same.
    """
    if on_cpu(xp):
        return fast.fused(xp, name, dtype)
    if not getattr(xp, "compiled", True):
        return None
    from minigrad.backend.kernels import fused as find

    return find(name, dtype)


__all__ = [
    "NAMESPACES",
    "NUMPY",
    "Array",
    "Device",
    "Instead",
    "Stream",
    "accumulate",
    "bfloat16",
    "chain",
    "device",
    "device_of",
    "finfo",
    "from_dlpack",
    "fused",
    "get_num_threads",
    "get_rng_state",
    "initial_seed",
    "instead",
    "is_dtype",
    "manual_seed",
    "matmul",
    "namespace",
    "on_cpu",
    "operand",
    "register",
    "set_num_threads",
    "set_rng_state",
    "use_device",
]
