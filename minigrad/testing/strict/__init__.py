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

from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import cache, partial
from typing import Any

import numpy as np

from minigrad.backend import random
from minigrad.backend.device import NAMESPACES, Array, Device, register
from minigrad.backend.device import device as get_device
from minigrad.backend.device_gemm import device_matmul
from minigrad.backend.gemm import GEMMS, OPERANDS
from minigrad.backend.graph import Graph
from minigrad.backend.kernels import plan
from minigrad.backend.kernels.kernel import LAUNCHERS
from minigrad.backend.philox import DeviceStream, Steps, steps
from minigrad.backend.threads import branching, in_branch
from minigrad.errors import DeviceError
from minigrad.testing.strict import gpu
from minigrad.testing.strict.array import StrictArray
from minigrad.testing.strict.events import (
    Counts,
    FakeGraph,
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

    def capture(self, function: Callable[[], Any]) -> tuple[Graph, Any]:
        prepared = Steps(self.rng)
        with capturing() as graph, steps(prepared):
            result = function()
        return Graph(graph.launch, prepared, result), result

    def forks(self) -> bool:
        return not in_branch()

    def fork(self, branches: Sequence[Callable[[], Any]]) -> list[Any]:
        with branching():
            return [copy_context().run(branch) for branch in branches]

    @property
    def rng(self) -> random.Stream:
        return DeviceStream(self, partial(event, "random"))


@cache
def _device() -> StrictDevice:
    return StrictDevice()


def install() -> None:
    """Make the strict device's arrays known; `minigrad.device("strict")` does it by itself."""
    if StrictArray not in NAMESPACES:
        register(StrictArray, xp, lambda array: _device())
        GEMMS[StrictArray] = partial(device_matmul, gpu.product)
        OPERANDS[StrictArray] = gpu.operand
        LAUNCHERS[StrictArray] = gpu.launch
        plan.LIMITS[StrictArray] = lambda: gpu.LIMITS


def open_device(index: int | None) -> StrictDevice:
    """The strict device; there is one."""
    if index:
        raise DeviceError(f"strict:{index}: there is one strict device, 'strict'")
    install()
    return _device()


def device() -> Device:
    """The strict device, known to the backend: the same as `minigrad.device("strict")`."""
    return get_device("strict")
