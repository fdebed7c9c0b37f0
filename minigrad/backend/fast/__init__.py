"""Loops compiled by numba, for who has it: `pip install "minigrad[fast]"`.

A kernel that NumPy must take in a dozen passes is one pass here. Code that has such a kernel asks
`lookup` for it, and takes NumPy's way if the answer is None: where numba is not installed, where
`MINIGRAD_FAST=0` is in the environment, and for any dtype but float32. Both ways give the same
numbers to rounding, and the same ones each time.

Kernels are compiled when first called and kept on disk (numba's cache: `__pycache__`, or the folder
that NUMBA_CACHE_DIR names), and they let other threads run. Importing this module does not import
numba.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np

__all__ = ["available", "lookup", "switched"]

_state = {"on": os.environ.get("MINIGRAD_FAST", "1") != "0"}
_FLOAT32 = np.dtype(np.float32)


@cache
def available() -> bool:
    """Whether numba is installed. Never raises, and does not import it."""
    return importlib.util.find_spec("numba") is not None


def lookup(name: str, dtype: Any = _FLOAT32) -> Callable[..., None] | None:
    """The compiled kernel `name` for arrays of `dtype`, or None.

    >>> from minigrad.backend import fast
    >>> fast.lookup("softmax", "float64") is None
    True
    """
    if not _state["on"] or dtype != _FLOAT32 or not available():
        return None
    return _kernel(name)


@cache
def _kernel(name: str) -> Callable[..., None]:
    from . import kernels

    return getattr(kernels, name)


@contextmanager
def switched(on: bool) -> Iterator[None]:
    """Within the block, compiled kernels are used, or not; for tests and benchmarks."""
    before = _state["on"]
    _state["on"] = on
    try:
        yield
    finally:
        _state["on"] = before
