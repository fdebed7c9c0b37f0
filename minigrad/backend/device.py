"""Devices, and the registry that says which array type lives on which.

The registry is a plain dict, `NAMESPACES`: array type → array namespace. The engine reads it once
per op, so a lookup must be all there is to it; what is slower (subclasses, the first CuPy array,
the error message) is in `namespace`, which is asked when the lookup fails.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from minigrad.backend import random as _random
from minigrad.backend import threads
from minigrad.errors import DeviceError

Array = Any
"""An array of some device: numpy.ndarray, cupy.ndarray or the strict device's array."""

NAMESPACES: dict[type, Any] = {}
"""Array type → array namespace (numpy, cupy, …)."""

PROVIDERS = {"cuda": "minigrad.backend.cuda", "strict": "minigrad.testing.strict"}
"""Device kind → its module, imported when asked for: `open_device(index)`, and `install()` which
makes its array types known."""

NUMPY: list[Any] = [np]
"""NumPy, and namespaces that stand in for it."""

_FOREIGN = {"cupy": "cuda"}  # package of an array type nobody registered yet → its provider
_DEVICE_OF: dict[type, Callable[[Array], Device]] = {}
_DEVICES: dict[str, Device] = {}
_LOCK = threading.RLock()


class Device:
    """Where arrays live and who computes on them.

    Attributes: `name` ("cpu", "cuda:0", "strict"), `kind` (the name before the colon), `index`,
    `xp` (the array namespace) and `rng` (this device's random stream). Devices are singletons:
    two are the same device if and only if they are the same object.
    """

    kind: str = ""

    def __init__(self, name: str, xp: Any, index: int = 0) -> None:
        self.name = name
        self.xp = xp
        self.index = index
        self._rng: _random.Stream | None = None

    def asarray(self, obj: Any, dtype: Any = None) -> Array:
        """`obj` as an array of this device: its own arrays are shared, all else is uploaded."""
        raise NotImplementedError

    def to_host(self, array: Array) -> np.ndarray[Any, Any]:
        """`array` as a NumPy array: itself on the CPU, elsewhere a copy that waits for it."""
        raise NotImplementedError

    def make_stream(self, seed: int) -> _random.Stream:
        """A fresh random stream that draws arrays of this device."""
        raise NotImplementedError

    def synchronize(self) -> None:
        """Wait until everything asked of this device is done."""

    def activate(self) -> AbstractContextManager[Any]:
        """A context in which this device is the one its array library launches on."""
        return contextlib.nullcontext()

    def capture(self, function: Callable[[], Any]) -> tuple[Any, Any]:
        """A graph of what `function` does, and its result; nothing is computed until a launch.

        Raises: DeviceError if the device has no graphs.
        """
        raise DeviceError(f"capture: {self.name} has no graphs")

    def forks(self) -> bool:
        """Whether `fork` would run branches side by side, here and now."""
        return threads.forks()

    def fork(self, branches: Sequence[Callable[[], Any]]) -> list[Any]:
        """The results of independent functions, side by side: on threads, on a GPU on streams.

        They write into different memory, and free nothing that was there before them.
        """
        return threads.run(branches)

    @property
    def rng(self) -> _random.Stream:
        """This device's random stream, seeded by `manual_seed`."""
        apart = _random.apart()
        if apart is not None:
            return apart.stream(self.name, self.make_stream)
        if self._rng is None:
            self._rng = _random.stream(self.name, self.make_stream)
        return self._rng

    def __repr__(self) -> str:
        return f"device({self.name!r})"

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return device, (self.name,)  # singletons: copies and pickles are the device itself


class Instead(NamedTuple):
    """What stands in for NumPy while a program is recorded."""

    xp: Any
    rng: _random.Stream


_INSTEAD: ContextVar[Instead | None] = ContextVar("minigrad_instead", default=None)


@contextlib.contextmanager
def instead(standin: Instead | None) -> Iterator[None]:
    """Let `standin` stand in for NumPy on the CPU, in this context; None: nothing does."""
    token = _INSTEAD.set(standin)
    try:
        yield
    finally:
        _INSTEAD.reset(token)


class CpuDevice(Device):
    """The host, through NumPy."""

    kind = "cpu"

    def __init__(self) -> None:
        self.name, self.index, self._rng = "cpu", 0, None

    @property
    def xp(self) -> Any:
        standin = _INSTEAD.get()
        return np if standin is None else standin.xp

    @property
    def rng(self) -> _random.Stream:
        standin = _INSTEAD.get()
        return super().rng if standin is None else standin.rng

    def asarray(self, obj: Any, dtype: Any = None) -> Array:
        standin = _INSTEAD.get()
        if standin is not None:
            return standin.xp.asarray(obj, dtype)
        owner = _DEVICE_OF.get(type(obj))
        if owner is not None and not isinstance(obj, (np.ndarray, np.generic)):
            obj = owner(obj).to_host(obj)
        return np.asarray(obj, dtype=dtype)

    def to_host(self, array: Array) -> np.ndarray[Any, Any]:
        return np.asarray(array)

    def make_stream(self, seed: int) -> _random.Stream:
        return _random.HostStream(seed)


def register(array_type: type, xp: Any, device_of: Callable[[Array], Device]) -> None:
    """Declare that arrays of `array_type` are computed on with `xp`, on `device_of(array)`."""
    _DEVICE_OF[array_type] = device_of
    NAMESPACES[array_type] = xp


def namespace(array: Array) -> Any:
    """The array namespace of `array`: numpy, cupy, or the strict device's.

    Raises: DeviceError if `array` is not an array of a known device.
    """
    try:
        return NAMESPACES[type(array)]
    except KeyError:
        return NAMESPACES[_adopt(type(array))]


def on_cpu(xp: Any) -> bool:
    """Whether `xp` is NumPy, or stands in for it: a kernel may then take the CPU's ways."""
    return xp in NUMPY


def device_of(array: Array) -> Device:
    """The device `array` lives on.

    Raises: DeviceError if `array` is not an array of a known device.
    """
    try:
        return _DEVICE_OF[type(array)](array)
    except KeyError:
        return _DEVICE_OF[_adopt(type(array))](array)


def _adopt(array_type: type) -> type:
    """Register a subclass of a known type, or a library met for the first time."""
    provider = _FOREIGN.get(array_type.__module__.partition(".")[0])
    if provider is not None:
        importlib.import_module(PROVIDERS[provider]).install()
    for base in array_type.__mro__:
        if base in NAMESPACES:
            if base is not array_type:
                register(array_type, NAMESPACES[base], _DEVICE_OF[base])
            return array_type
    known = sorted({_qualified(each) for each in NAMESPACES if not issubclass(each, np.generic)})
    raise DeviceError(
        f"expected an array, got {_qualified(array_type)}; known array types: {', '.join(known)}. "
        "Lists and numbers become arrays with mg.asarray, other tensors with mg.from_dlpack"
    )


def _qualified(array_type: type) -> str:
    return f"{array_type.__module__}.{array_type.__qualname__}".removeprefix("builtins.")


def device(spec: str | Device | None = None) -> Device:
    """The device named `spec`: "cpu", "cuda" (the current GPU), "cuda:1"; None means the default.

    The default is that of the innermost `use_device`, else the environment variable
    MINIGRAD_DEVICE, else the CPU.

    Raises: DeviceError if there is no such device, saying why and what to do.

    >>> import minigrad as mg
    >>> mg.device("cpu")
    device('cpu')
    """
    if spec is None:
        return _default()
    if isinstance(spec, Device):
        return spec
    if not isinstance(spec, str):
        raise DeviceError(f"a device is named by a string such as 'cpu' or 'cuda:0', got {spec!r}")
    found = _DEVICES.get(spec)
    return found if found is not None else _open(spec)


def _open(spec: str) -> Device:
    kind, colon, number = spec.partition(":")
    if kind not in PROVIDERS or (colon and not number.isdecimal()):  # "cpu" is open already
        raise DeviceError(
            f"no device {spec!r}; there are 'cpu', 'cuda' (the current GPU), 'cuda:0', 'cuda:1', …"
        )
    provider = importlib.import_module(PROVIDERS[kind])
    found: Device = provider.open_device(int(number) if colon else None)
    with _LOCK:
        return _DEVICES.setdefault(found.name, found)


def in_use(kind: str) -> bool:
    """Whether a device of this kind, "cuda" say, has been asked for in this process."""
    return any(found.kind == kind for found in list(_DEVICES.values()))


_DEFAULT: ContextVar[Device | None] = ContextVar("minigrad_default_device", default=None)


def _default() -> Device:
    chosen = _DEFAULT.get()
    if chosen is not None:
        return chosen
    wanted = os.environ.get("MINIGRAD_DEVICE", "").strip()
    if not wanted:
        return _CPU
    try:
        return device(wanted)
    except DeviceError as error:
        raise DeviceError(f"MINIGRAD_DEVICE={wanted}: {error}") from error


@contextlib.contextmanager
def use_device(spec: str | Device) -> Iterator[Device]:
    """Make `spec` the default device inside a `with`, for this thread or task only.

    >>> import minigrad as mg
    >>> with mg.use_device("cpu") as dev:
    ...     print(dev)
    cpu
    """
    chosen = device(spec)
    token = _DEFAULT.set(chosen)
    try:
        with chosen.activate():
            yield chosen
    finally:
        _DEFAULT.reset(token)


_CPU = CpuDevice()
_DEVICES["cpu"] = _CPU


def _cpu_of(array: Array) -> Device:
    return _CPU


_SCALARS: set[Any] = set(np.sctypeDict.values())  # what NumPy's reductions return
for _type in {np.ndarray} | _SCALARS:
    register(_type, np, _cpu_of)
