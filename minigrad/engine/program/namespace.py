"""What stands in for NumPy, and for the CPU's random stream, while a program is recorded.

NumPy's functions hand calls with stand-in arrays over by themselves; what makes arrays out of
nothing, or out of anything, is here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...backend import NAMESPACES, NUMPY, Stream, device, register
from ..modes import MODES
from .standin import StandIn, Untraceable


def _recorder() -> Any:
    recorder = MODES.get().recorder
    if recorder is None:
        raise Untraceable("an array of a program was used after the program was recorded")
    return recorder


def _constant(name: str) -> Callable[..., Any]:
    make = getattr(np, name)

    def function(*args: Any, **kwargs: Any) -> Any:
        return _recorder().array(make(*args, **kwargs), constant=True)

    return function


class Namespace:
    """NumPy, but for the functions that make arrays."""

    __name__ = "numpy"
    arange = staticmethod(_constant("arange"))
    linspace = staticmethod(_constant("linspace"))
    eye = staticmethod(_constant("eye"))
    identity = staticmethod(_constant("identity"))
    tri = staticmethod(_constant("tri"))

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def __repr__(self) -> str:
        return "<numpy, recorded>"

    @staticmethod
    def primitive(function: Callable[..., Any], *args: Any, writes: tuple[int, ...]) -> None:
        """A call of code that NumPy does not see; see `engine.primitive`."""
        _recorder().primitive(function, args, writes)

    @staticmethod
    def empty(shape: Any, dtype: Any = float, order: Any = "C") -> StandIn:
        """A new array; what stands in it is arbitrary."""
        return _recorder().made(np.empty(shape, dtype, order))

    @classmethod
    def full(cls, shape: Any, fill_value: Any, dtype: Any = None, order: Any = "C") -> StandIn:
        """A new array of one value."""
        if dtype is None:
            given = isinstance(fill_value, StandIn | np.ndarray)
            dtype = fill_value.dtype if given else np.asarray(fill_value).dtype
        new = cls.empty(shape, dtype, order)
        new.fill(fill_value)
        return new

    @classmethod
    def zeros(cls, shape: Any, dtype: Any = float, order: Any = "C") -> StandIn:
        """A new array of zeros."""
        return cls.full(shape, 0, dtype, order)

    @classmethod
    def ones(cls, shape: Any, dtype: Any = float, order: Any = "C") -> StandIn:
        """A new array of ones."""
        return cls.full(shape, 1, dtype, order)

    @staticmethod
    def empty_like(a: Any, dtype: Any = None, shape: Any = None) -> StandIn:
        """A new array with the layout of `a`."""
        value = a.value if isinstance(a, StandIn) else a
        return _recorder().made(np.empty_like(value, dtype=dtype, shape=shape))

    @classmethod
    def full_like(cls, a: Any, fill_value: Any, dtype: Any = None, shape: Any = None) -> StandIn:
        """A new array with the layout of `a`, of one value."""
        new = cls.empty_like(a, dtype, shape)
        new.fill(fill_value)
        return new

    @classmethod
    def zeros_like(cls, a: Any, dtype: Any = None, shape: Any = None) -> StandIn:
        """A new array with the layout of `a`, of zeros."""
        return cls.full_like(a, 0, dtype, shape)

    @classmethod
    def ones_like(cls, a: Any, dtype: Any = None, shape: Any = None) -> StandIn:
        """A new array with the layout of `a`, of ones."""
        return cls.full_like(a, 1, dtype, shape)

    @staticmethod
    def asarray(a: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """`a` as an array: itself if it is one."""
        if isinstance(a, StandIn):
            return a if dtype is None or a.dtype == dtype else a.astype(dtype)
        return _recorder().array(np.asarray(a, dtype, **kwargs))

    @classmethod
    def array(cls, a: Any, dtype: Any = None, copy: bool = True, **kwargs: Any) -> Any:
        """A copy of `a`."""
        if isinstance(a, StandIn):
            return a.astype(dtype or a.dtype, copy=copy, **kwargs)
        if isinstance(a, list | tuple) and any(isinstance(x, StandIn) for x in a):
            return np.stack(a)
        return _recorder().array(np.array(a, dtype, copy=copy, **kwargs), constant=True)

    @classmethod
    def ascontiguousarray(cls, a: Any, dtype: Any = None) -> Any:
        """`a` with its elements one after another."""
        if not isinstance(a, StandIn):
            return _recorder().array(np.ascontiguousarray(a, dtype))
        if dtype is not None and a.dtype != dtype:
            return a.astype(dtype, order="C")
        return a if a.flags.c_contiguous else a.astype(a.dtype, order="C")


class RecordedStream(Stream):
    """The CPU's random stream: each replay draws anew."""

    def uniform(self, *args: Any, **kwargs: Any) -> Any:
        return _recorder().draw("uniform", args, kwargs)

    def normal(self, *args: Any, **kwargs: Any) -> Any:
        return _recorder().draw("normal", args, kwargs)

    def integers(self, *args: Any, **kwargs: Any) -> Any:
        return _recorder().draw("integers", args, kwargs)

    def permutation(self, n: int) -> Any:
        return _recorder().draw("permutation", (n,), {})

    def bernoulli(self, *args: Any, **kwargs: Any) -> Any:
        return _recorder().draw("bernoulli", args, kwargs)


NAMESPACE = Namespace()
STREAM = RecordedStream()


def install() -> None:
    """Make stand-in arrays known to the backend, as arrays of the CPU."""
    if StandIn not in NAMESPACES:
        register(StandIn, NAMESPACE, lambda array: device("cpu"))
        NUMPY.append(NAMESPACE)
