"""The strict device: CuPy's rules, checked without a GPU.

Its arrays compute with NumPy and behave like CuPy's where that bites: host and device never mix;
names, keywords and element types that CuPy lacks are refused; results are never Python or NumPy
scalars; assignment through duplicate indices is an error; `xp.empty` is full of NaN; and whatever
makes the host wait or copy is counted, or forbidden.

>>> import numpy as np
>>> from minigrad.testing import strict
>>> dev = strict.device()
>>> x = dev.asarray([1.0, 2.0])
>>> x + np.ones(2)
Traceback (most recent call last):
    ...
TypeError: Unsupported type <class 'numpy.ndarray'>: add: a host array among device arrays
>>> with strict.no_sync():
...     x.sum().item()
Traceback (most recent call last):
    ...
minigrad.errors.DeviceError: .item() makes the host wait for the device: not allowed inside ...
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np

from minigrad.backend import random
from minigrad.backend.device import NAMESPACES, Array, Device, register
from minigrad.backend.device import device as get_device
from minigrad.backend.gemm import GEMMS, device_matmul
from minigrad.errors import DeviceError
from minigrad.testing.strict.array import StrictArray
from minigrad.testing.strict.events import (
    Counts,
    FakeGraph,
    call,
    capturing,
    count,
    event,
    no_sync,
)
from minigrad.testing.strict.namespace import StrictNamespace

__all__ = [
    "Counts",
    "FakeGraph",
    "StrictArray",
    "StrictDevice",
    "StrictNamespace",
    "capturing",
    "count",
    "device",
    "install",
    "no_sync",
    "open_device",
    "xp",
]

xp: Any = StrictNamespace()
"""The namespace of the strict device's arrays."""


class StrictStream(random.HostStream):
    """The host's values as arrays of the strict device, so its numbers are the CPU's."""

    def uniform(self, *args: Any, **kwargs: Any) -> Any:
        return _drawn(super().uniform(*args, **kwargs))

    def normal(self, *args: Any, **kwargs: Any) -> Any:
        return _drawn(super().normal(*args, **kwargs))

    def integers(self, *args: Any, **kwargs: Any) -> Any:
        return _drawn(super().integers(*args, **kwargs))

    def permutation(self, n: int) -> Any:
        return _drawn(super().permutation(n))

    def bernoulli(self, *args: Any, **kwargs: Any) -> Any:
        return _drawn(super().bernoulli(*args, **kwargs))


def _drawn(values: np.ndarray[Any, Any]) -> StrictArray:
    event("random", "a draw from device.rng")
    return StrictArray(values)


class StrictDevice(Device):
    """The device called "strict"."""

    kind = "strict"

    def __init__(self) -> None:
        super().__init__("strict", xp)

    def asarray(self, obj: Any, dtype: Any = None) -> Array:
        if not isinstance(obj, StrictArray):
            obj = get_device("cpu").asarray(obj, dtype)
        return xp.asarray(obj, dtype=dtype)

    def to_host(self, array: Array) -> np.ndarray[Any, Any]:
        host: np.ndarray[Any, Any] = array.get()
        return host

    def make_stream(self, seed: int) -> random.Stream:
        return StrictStream(seed)


def _product(a: StrictArray, b: StrictArray, out: StrictArray | None = None) -> StrictArray:
    """What a GPU library multiplies well, and nothing else: see `backend.gemm.device_matmul`."""
    if a.ndim != b.ndim or a.ndim not in (2, 3) or (a.ndim == 3 and out is not None):
        raise TypeError(f"a GEMM of {a.shape} and {b.shape}: 2-D, or 3-D stacks without out")
    if out is None:
        return StrictArray(call(np.matmul, a._a, b._a))
    call(np.matmul, a._a, b._a, out=out._a, writes=(out._a,))
    return out


@cache
def _device() -> StrictDevice:
    return StrictDevice()


def install() -> None:
    """Make the strict device's arrays known; `minigrad.device("strict")` does it by itself."""
    if StrictArray not in NAMESPACES:
        register(StrictArray, xp, lambda array: _device())
        GEMMS[StrictArray] = partial(device_matmul, _product)


def open_device(index: int | None) -> StrictDevice:
    """The strict device; there is one."""
    if index:
        raise DeviceError(f"strict:{index}: there is one strict device, 'strict'")
    install()
    return _device()


def device() -> Device:
    """The strict device, known to the backend: the same as `minigrad.device("strict")`."""
    return get_device("strict")
