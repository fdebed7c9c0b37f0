"""How many threads the BLAS library that NumPy loaded may use.

A product of large matrices gains from all cores; the many small ones of a recurrent loop lose more
by waking threads up than they gain, and two loops side by side need a core each. The library is
asked through `ctypes`; where it cannot be (Accelerate, an unknown BLAS) nothing is limited.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from functools import cache
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np

from minigrad.backend import mkl

__all__ = ["blas_threads", "get_blas_threads", "set_blas_threads"]

_ENDS = ("64_", "", "64", "_64", "_")
_NAMES = [
    *((f"scipy_openblas_set_num_threads{e}", f"scipy_openblas_get_num_threads{e}") for e in _ENDS),
    *((f"openblas_set_num_threads{e}", f"openblas_get_num_threads{e}") for e in _ENDS),
    ("MKL_Set_Num_Threads", "MKL_Get_Max_Threads"),
    ("bli_thread_set_num_threads", "bli_thread_get_num_threads"),
]


class Library(NamedTuple):
    """The two functions of a BLAS library."""

    name: str
    set: Callable[[int], object]
    get: Callable[[], int]


@cache
def library() -> Library | None:
    """The BLAS that NumPy multiplies with; None where it cannot be asked."""
    try:  # a handle of NumPy's extension also finds the symbols of the libraries that it loaded
        loaded = ctypes.CDLL(np._core._multiarray_umath.__file__)  # type: ignore[attr-defined]
    except (AttributeError, OSError):
        return None
    for setter, getter in _NAMES:
        if hasattr(loaded, setter) and hasattr(loaded, getter):
            set_number, get_number = getattr(loaded, setter), getattr(loaded, getter)
            set_number.argtypes, set_number.restype = [ctypes.c_int], None
            get_number.argtypes, get_number.restype = [], ctypes.c_int
            return _with_mkl(Library(setter, set_number, get_number))
    return None


def _with_mkl(numpys: Library) -> Library:
    """The same number for MKL, where it is used beside NumPy's library."""
    beside = mkl.library()
    if beside is None:
        return numpys
    set_mkl: Callable[[int], object] = beside.MKL_Set_Num_Threads

    def set_both(n: int) -> None:
        numpys.set(n)
        set_mkl(n)

    set_mkl(numpys.get())
    return numpys._replace(set=set_both)


class _Limits:
    """The limits in force now, of all threads: the library has one number for the process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.active: list[int] = []
        self.base = self.now = 0

    def add(self, n: int) -> None:
        blas = library()
        if blas is None:
            return
        with self.lock:
            if not self.active:
                self.base = self.now = blas.get()
            self.active.append(n)
            self.apply(blas)

    def remove(self, n: int) -> None:
        blas = library()
        if blas is None:
            return
        with self.lock:
            self.active.remove(n)
            self.apply(blas)

    def apply(self, blas: Library) -> None:
        wanted = min([self.base, *self.active])
        if wanted != self.now:
            blas.set(wanted)
            self.now = wanted


_LIMITS = _Limits()


class blas_threads:  # noqa: N801 (used like a function)
    """At most `n` threads per BLAS call inside: `with blas_threads(1): …`.

    The number is the process's own, so it holds for other threads too; where several limits are in
    force at once, the smallest one counts, and the last to leave gives back what was there.
    """

    def __init__(self, n: int) -> None:
        self.n = n

    def __enter__(self) -> Self:
        _LIMITS.add(self.n)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _LIMITS.remove(self.n)


def set_blas_threads(n: int) -> None:
    """Let BLAS use `n` threads from now on; limits that are in force stay so."""
    blas = library()
    if blas is None:
        return
    with _LIMITS.lock:
        _LIMITS.base = n
        _LIMITS.now = blas.get()
        _LIMITS.apply(blas)


def get_blas_threads() -> int | None:
    """How many threads BLAS uses now; None where it cannot be asked."""
    blas = library()
    return None if blas is None else int(blas.get())
