"""`Batch`: an array of n examples that looks like one of them, on a device of its own.

Its `value` has the examples along a first axis that its `shape` does not show. Kernels and
derivative rules are written for arrays of any device, so they run on a Batch as they are: each call
of an array function is made once, for all examples. `functions.py` says how.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, ClassVar

import numpy as np

from ...backend import NAMESPACES, Array, Device
from ...backend.device import register
from ...backend.gemm import GEMMS
from ...backend.random import Stream
from ...errors import MinigradError


class LookedAtValuesError(MinigradError):
    """Python asked for a value that differs from example to example."""


class Batch:
    """An array per example. `shared`: one for all of them, and `value` has no axis more.

    A subclass per number of examples and device, made by `batches`.
    """

    __slots__ = ("__weakref__", "shared", "value")
    __array_priority__ = 2000
    __hash__ = None  # type: ignore[assignment]

    n: ClassVar[int]
    depth: ClassVar[int]
    device: ClassVar[Any]
    xp: ClassVar[Any]

    value: Array
    shared: bool

    def __init__(self, value: Array, shared: bool = False) -> None:
        self.value, self.shared = value, shared

    @classmethod
    def lift(cls, x: Any) -> Any:
        """An array of the device below as one that all examples share; anything else as it is."""
        if type(x) in NAMESPACES and type(x) is not cls:
            return cls(cls.device.inner.asarray(x), True)
        return x

    # -- what may be asked of it ---------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self.value.shape
        return shape if self.shared else shape[1:]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        size: int = self.value.size
        return size if self.shared else size // self.n

    dtype = property(lambda self: self.value.dtype)
    itemsize = property(lambda self: self.value.dtype.itemsize)
    nbytes = property(lambda self: self.size * self.itemsize)
    flags = property(lambda self: self.value.flags)
    T = property(lambda self: self.transpose())
    mT = property(lambda self: self.swapaxes(-1, -2))  # noqa: N815

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Batch]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"<{self.n} examples of {self.dtype}{self.shape}>"

    # -- values: only those that all examples share --------------------------------------------

    def host(self, what: str) -> Array:
        """The value that all examples share."""
        if not self.shared:
            raise LookedAtValuesError(f"{what}: the {self.n} examples of vmap have different ones")
        return self.value

    def item(self) -> Any:
        return self.host("item").item()

    def tolist(self) -> Any:
        return self.host("tolist").tolist()

    def __bool__(self) -> bool:
        return bool(self.host("bool"))

    def __float__(self) -> float:
        return float(self.host("float"))

    def __int__(self) -> int:
        return int(self.host("int"))

    def __index__(self) -> int:
        return operator.index(self.host("index"))

    # -- values, per example -------------------------------------------------------------------

    def full(self) -> Array:
        """(n, *shape), also where the examples share one array; not to be written into."""
        if not self.shared:
            return self.value
        inner = NAMESPACES[type(self.value)]
        return inner.broadcast_to(self.value, (self.n, *self.value.shape))

    def own(self) -> Array:
        """The examples' own memory, to write into."""
        if self.shared:
            self.value, self.shared = self.full().copy(), False
        return self.value

    def example(self, i: int) -> Array:
        """That of example i: a view."""
        return self.value if self.shared else self.value[i, ...]

    def aligned(self, ndim: int) -> Array:
        """The value with `ndim` axes per example, new ones of length 1 in front."""
        if self.shared:
            return self.value
        return self.value[(slice(None), *(None,) * (ndim - self.ndim))]

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        return getattr(getattr(self.xp, ufunc.__name__), method)(*args, **kwargs)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        return np.asarray(self.host("np.asarray"), *args)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function in (np.shares_memory, np.may_share_memory):
            return function(*[a.value if isinstance(a, Batch) else a for a in args], **kwargs)
        return getattr(self.xp, function.__name__)(*args, **kwargs)

    def __getitem__(self, key: Any) -> Any:
        return self.xp.getitem(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.xp.setitem(self, key, value)

    # Methods that are functions, such as x.sum(axis=0), are found by name.
    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"a batch of arrays has no {name}")
        method: Callable[..., Any] = self.xp.method(name, self)
        return method


def _operators() -> None:
    """Arithmetic, comparison, and their reflected and in-place forms."""
    pairs = {
        "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide",
        "floordiv": "floor_divide", "mod": "remainder", "pow": "power", "and": "bitwise_and",
        "or": "bitwise_or", "xor": "bitwise_xor", "lshift": "left_shift", "rshift": "right_shift",
    }  # fmt: skip
    for short, name in pairs.items():

        def plain(self: Batch, other: Any, name: str = name) -> Any:
            return getattr(self.xp, name)(self, other)

        def reflected(self: Batch, other: Any, name: str = name) -> Any:
            return getattr(self.xp, name)(other, self)

        def in_place(self: Batch, other: Any, name: str = name) -> Any:
            getattr(self.xp, name)(self, other, out=self)
            return self

        for prefix, method in (("", plain), ("r", reflected), ("i", in_place)):
            setattr(Batch, f"__{prefix}{short}__", method)
    comparisons = {
        "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal",
        "ne": "not_equal",
    }  # fmt: skip
    for short, name in comparisons.items():

        def compare(self: Batch, other: Any, name: str = name) -> Any:
            return getattr(self.xp, name)(self, other)

        setattr(Batch, f"__{short}__", compare)
    singles = {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}
    for short, name in singles.items():

        def unary(self: Batch, name: str = name) -> Any:
            return getattr(self.xp, name)(self)

        setattr(Batch, f"__{short}__", unary)


_operators()


class BatchStream(Stream):
    """Random numbers: each example draws its own."""

    def __init__(self, device: BatchDevice) -> None:
        self._device = device

    def _many(self, shape: Any) -> tuple[int, ...]:
        return (self._device.kind_of.n, *((shape,) if isinstance(shape, int) else shape))

    def uniform(
        self, low: float = 0.0, high: float = 1.0, shape: Any = (), dtype: Any = "float32"
    ) -> Any:
        drawn = self._device.inner.rng.uniform(low, high, self._many(shape), dtype)
        return self._device.kind_of(drawn)

    def normal(
        self, mean: float = 0.0, std: float = 1.0, shape: Any = (), dtype: Any = "float32"
    ) -> Any:
        return self._device.kind_of(
            self._device.inner.rng.normal(mean, std, self._many(shape), dtype)
        )

    def integers(self, low: int, high: int, shape: Any = (), dtype: Any = "int64") -> Any:
        drawn = self._device.inner.rng.integers(low, high, self._many(shape), dtype)
        return self._device.kind_of(drawn)

    def permutation(self, n: int) -> Any:
        kind, inner = self._device.kind_of, self._device.inner
        return kind(inner.xp.stack([inner.rng.permutation(n) for _ in range(kind.n)]))

    def bernoulli(self, p: float, shape: Any = (), dtype: Any = "float32") -> Any:
        return self._device.kind_of(self._device.inner.rng.bernoulli(p, self._many(shape), dtype))


class BatchDevice(Device):
    """Where the arrays of n examples live: the device of one of them, seen n times at once."""

    kind = "vmap"
    kind_of: type[Batch]

    def __init__(self, inner: Device, depth: int) -> None:
        super().__init__(f"{inner.name} in vmap", None)
        self.inner = inner
        self.depth = depth

    def asarray(self, obj: Any, dtype: Any = None) -> Array:
        if type(obj) is self.kind_of:
            return obj if dtype is None or obj.dtype == dtype else obj.astype(dtype)
        return self.kind_of(self.inner.asarray(obj, dtype), True)

    def to_host(self, array: Array) -> np.ndarray[Any, Any]:
        return self.inner.to_host(array.host("numpy"))

    @property
    def rng(self) -> Stream:
        return BatchStream(self)


@cache
def batches(inner: Device, n: int) -> type[Batch]:
    """The type of arrays of n examples, each on the device `inner`."""
    from .functions import BatchNamespace
    from .places import matmul

    depth = getattr(inner, "depth", 0) + 1
    device = BatchDevice(inner, depth)
    fixed = {"__slots__": (), "n": n, "depth": depth, "device": device}
    made: type[Batch] = type("Batch", (Batch,), fixed)
    device.kind_of, device.xp = made, BatchNamespace(made)
    made.xp = device.xp
    register(made, device.xp, lambda _: device)
    GEMMS[made] = matmul
    return made
