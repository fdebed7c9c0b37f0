"""Loops compiled by numba, for who has it: `pip install "minigrad[fast]"`.

What NumPy must take in a dozen passes is one pass here. Ops ask `backend.fused` for such a kernel,
on a GPU as on the CPU, and go on with NumPy if the answer is None: where numba is not installed,
where `MINIGRAD_FAST=0` is in the environment, and for any dtype but float32. Both ways give the
same numbers to rounding, and the same ones each time.

Kernels are compiled when first called and kept on disk (numba's cache: `__pycache__`, or the folder
that NUMBA_CACHE_DIR names), and they let other threads run. numba looks at the file of a kernel
alone: who edits `numerics.py`, `cells.py` or `blas.py` deletes the caches (`*.nbi`, `*.nbc`).
Importing this module does not import numba.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import numpy as np

__all__ = ["available", "fused", "lookup", "switched"]

_state = {"on": os.environ.get("MINIGRAD_FAST", "1") != "0"}
_FLOAT32 = np.dtype(np.float32)


@cache
def available() -> bool:
    """Whether numba is installed. Never raises, and does not import it."""
    return importlib.util.find_spec("numba") is not None


def lookup(name: str, dtype: Any = _FLOAT32) -> Callable[..., None] | None:
    """The compiled kernel `name` for arrays of `dtype`, or None. It takes NumPy's arrays.

    >>> from minigrad.backend import fast
    >>> fast.lookup("softmax", "float64") is None
    True
    """
    if not _state["on"] or dtype != _FLOAT32 or not available():
        return None
    return _named("kernels", name)


def fused(xp: Any, name: str, dtype: Any) -> Callable[..., Any] | None:
    """The function that launches the compiled kernel `name`, as `backend.fused` gives it, or None.

    A namespace that stands in for NumPy has it called with `xp.primitive`, or not at all.
    """
    if not _state["on"] or dtype != _FLOAT32 or not available():
        return None
    run = _call if xp is np else getattr(xp, "primitive", None)
    launch = None if run is None else _named("launch", name)
    return None if launch is None else partial(launch, xp, run)


def _call(kernel: Callable[..., None], *args: Any, writes: tuple[int, ...]) -> None:
    kernel(*args)


@cache
def _named(module: str, name: str) -> Any:
    return getattr(_module(module), name, None)


@cache
def _module(name: str) -> Any:
    """A module of this package that needs numba; None, and a warning, where numba does not load."""
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ImportError as error:  # such as of a numba older than this NumPy
        warnings.warn(
            f"numba is installed but does not load, NumPy is used instead: {error}. Update it with "
            'pip install -U "minigrad[fast]", or set MINIGRAD_FAST=0',
            stacklevel=2,
        )
        return None


@contextmanager
def switched(on: bool) -> Iterator[None]:
    """Within the block, compiled kernels are used, or not; for tests and benchmarks."""
    before = _state["on"]
    _state["on"] = on
    try:
        yield
    finally:
        _state["on"] = before
