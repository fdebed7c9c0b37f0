"""The strict device's ufuncs, and the operators and methods of its arrays."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from minigrad.testing.cupy_api import api, method_parameters
from minigrad.testing.strict import array
from minigrad.testing.strict.array import StrictArray, checked, host_array, index_key, unwrap, wrap
from minigrad.testing.strict.events import call, event

AT = {
    "add": {"i4", "i8", "u4", "u8", "f2", "f4", "f8"},
    "subtract": {"i4", "u4"},
    "maximum": {"i4", "u4", "u8", "f4", "f8"},
    "minimum": {"i4", "u4", "u8", "f4", "f8"},
}
"""`ufunc.at`: the element types CuPy has atomics for, as kind and size."""


class StrictUfunc:
    """A ufunc with CuPy's loops and keywords: `out`, `dtype`, `casting`, and no `where`."""

    def __init__(self, name: str) -> None:
        self.name = self.__name__ = name
        self._f: Any = getattr(np, name)
        known = array.DTYPES | {"-", ">"}
        loops = [loop.split("->") for loop in api().ufuncs[name] if known.issuperset(loop)]
        self._loops = [(list(map(_dtype, i)), list(map(_dtype, o))) for i, o in loops]
        self.nin, self.nout = len(loops[0][0]), len(loops[0][1])

    def __repr__(self) -> str:
        return f"<strict ufunc {self.name!r}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        wrong = set(kwargs) - {"out", "dtype", "casting"}
        if wrong or not self.nin <= len(args) <= self.nin + self.nout:
            raise TypeError(
                f"cupy.{self.name}: CuPy's ufuncs take {self.nin} arguments and out, dtype, "
                f"casting; got {len(args)} and {sorted(wrong)}"
            )
        out = kwargs.pop("out", args[self.nin :] or None)
        args = args[: self.nin]
        self.check(args, kwargs.get("dtype"))
        raw = [unwrap(each, self.name) for each in args]
        if out is None:
            return wrap(call(self._f, *raw, **kwargs))
        outs = out if isinstance(out, tuple) else (out,)
        written = tuple(unwrap(each, self.name) for each in outs)
        if not all(isinstance(each, StrictArray) for each in outs):
            raise TypeError(f"cupy.{self.name}: out must be device arrays, got {out!r}")
        call(self._f, *raw, out=written, writes=written, **kwargs)
        return outs[0] if len(outs) == 1 else outs

    def check(self, args: tuple[Any, ...], dtype: Any = None) -> None:
        """Raises: TypeError if CuPy does not take these arguments."""
        for each in args:
            if isinstance(each, np.ndarray):
                raise host_array(self.name)
            if not isinstance(each, (StrictArray, bool, int, float, complex, np.generic)):
                raise TypeError(f"Unsupported type {type(each)}: cupy.{self.name}")
        if dtype is None and isinstance(self._f, np.ufunc):
            kinds = tuple(each.dtype if hasattr(each, "dtype") else type(each) for each in args)
            self._resolve(kinds)

    @cache  # noqa: B019  one per ufunc, and they live as long as the process
    def _resolve(self, kinds: tuple[Any, ...]) -> None:
        given = tuple(np.dtype(bool) if kind is bool else kind for kind in kinds)
        resolved = self._f.resolve_dtypes(given + (None,) * self.nout)
        ours = list(map(np.dtype, resolved[self.nin :]))
        taken = [r if isinstance(g, type) else g for g, r in zip(given, resolved, strict=False)]
        for inputs, outputs in self._loops:  # Python's numbers are as wide as NumPy made them
            if all(np.can_cast(a, b) for a, b in zip(taken, inputs, strict=True)):
                if outputs != ours:
                    raise TypeError(
                        f"cupy.{self.name} of {_names(taken)} is {_names(outputs)}, NumPy's is "
                        f"{_names(ours)}: cast first"
                    )
                return
        raise TypeError(f"cupy.{self.name} does not take {_names(taken)}")

    def at(self, a: StrictArray, indices: Any, b: Any = None) -> None:
        """Unbuffered in-place operation; duplicate indices count each time."""
        supported = AT.get(self.name, set())
        if a.dtype.str[1:] not in supported:
            raise TypeError(f"cupy.{self.name}.at takes {sorted(supported)}, got {a.dtype}")
        if not isinstance(b, StrictArray):
            event("upload", f"{self.name}.at with a number")
        call(self._f.at, a._a, index_key(indices), unwrap(b, self.name), writes=(a._a,))

    def reduce(
        self, array: StrictArray, axis: Any = 0, dtype: Any = None, out: Any = None, **kwargs: Any
    ) -> Any:
        return self._along("reduce", array, axis, dtype, out, {"keepdims"}, kwargs)

    def accumulate(
        self, array: StrictArray, axis: Any = 0, dtype: Any = None, out: Any = None, **kwargs: Any
    ) -> Any:
        return self._along("accumulate", array, axis, dtype, out, set(), kwargs)

    def outer(self, a: Any, b: Any) -> Any:
        self.check((a, b))
        return wrap(call(self._f.outer, unwrap(a, self.name), unwrap(b, self.name)))

    def _along(
        self, how: str, array: Any, axis: Any, dtype: Any, out: Any, takes: set[str], kwargs: Any
    ) -> Any:
        if self.name not in ("add", "multiply"):
            raise NotImplementedError(f"`cupy_{self.name}.{how}` is not supported yet")
        if set(kwargs) - takes:
            raise TypeError(f"cupy.{self.name}.{how}: no {sorted(set(kwargs) - takes)} in CuPy")
        raw = unwrap(array, self.name)
        if not isinstance(raw, np.ndarray):
            raise TypeError(f"Unsupported type {type(array)}: cupy.{self.name}.{how}")
        into = None if out is None else unwrap(out, self.name)
        function = getattr(self._f, how)
        writes = () if into is None else (into,)
        result = call(function, raw, axis, dtype, into, writes=writes, **kwargs)
        return wrap(result) if out is None else out


def _dtype(char: str) -> np.dtype[Any]:
    return np.dtype("bfloat16" if char == "E" else char)


def _names(dtypes: Any) -> str:
    return ", ".join(np.dtype(each).name for each in dtypes)


@cache
def ufunc(name: str) -> StrictUfunc:
    """The ufunc `name`. Raises: AttributeError if CuPy has none."""
    if name not in api().ufuncs:
        raise AttributeError(f"module 'cupy' has no ufunc {name!r}")
    return StrictUfunc(name)


def _binary(name: str, symbol: Callable[..., Any], *, reflected: bool = False) -> Any:
    def method(self: StrictArray, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            raise host_array(name)
        if not isinstance(other, (StrictArray, int, float, complex, np.generic)):
            return NotImplemented
        pair = (other, self) if reflected else (self, other)
        ufunc(name).check(pair)
        return wrap(call(symbol, *(unwrap(each, name) for each in pair)))

    return method


def _in_place(name: str, symbol: Callable[..., Any]) -> Any:
    def method(self: StrictArray, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            raise host_array(name)
        if not isinstance(other, (StrictArray, int, float, complex, np.generic)):
            return NotImplemented
        ufunc(name).check((self, other))
        call(symbol, self._a, unwrap(other, name), writes=(self._a,))
        return self

    return method


def _unary(name: str, symbol: Callable[..., Any]) -> Any:
    def method(self: StrictArray) -> Any:
        ufunc(name).check((self,))
        return wrap(call(symbol, self._a))

    return method


_SYNC = {"nonzero", "compress", "choose"}
_WRITE = {"fill", "sort", "partition", "put"}
_NOT_NEUTRAL = {"item", "tolist", "dot", "dump", "dumps", "tobytes", "tofile", "byteswap"}


def _method(name: str) -> Any:
    parameters, numpy = method_parameters(name), getattr(np.ndarray, name)

    def method(self: StrictArray, *args: Any, **kwargs: Any) -> Any:
        checked(f"ndarray.{name}", parameters, args, kwargs)
        if name in _SYNC:
            event("sync", f".{name}()")
        raw = [unwrap(each, name) for each in args]
        named = {key: unwrap(each, name) for key, each in kwargs.items()}
        out = kwargs.get("out")
        writes = (self._a,) if name in _WRITE else () if out is None else (out._a,)
        result = call(numpy, self._a, *raw, writes=writes, **named)
        if out is not None:
            return out
        return self if result is self._a else wrap(result)

    method.__name__ = name
    return method


def _furnish() -> None:
    """Give StrictArray the operators and methods that CuPy's arrays have."""
    for name, short in {
        "add": "add", "subtract": "sub", "multiply": "mul", "true_divide": "truediv",
        "floor_divide": "floordiv", "remainder": "mod", "power": "pow", "left_shift": "lshift",
        "right_shift": "rshift", "bitwise_and": "and_", "bitwise_or": "or_", "bitwise_xor": "xor",
    }.items():  # fmt: skip
        bare, symbol = short.strip("_"), getattr(operator, short)
        setattr(StrictArray, f"__{bare}__", _binary(name, symbol))
        setattr(StrictArray, f"__r{bare}__", _binary(name, symbol, reflected=True))
        setattr(StrictArray, f"__i{bare}__", _in_place(name, getattr(operator, f"i{bare}")))
    for name, short in {
        "less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge",
        "equal": "eq", "not_equal": "ne",
    }.items():  # fmt: skip
        setattr(StrictArray, f"__{short}__", _binary(name, getattr(operator, short)))
    for name, short in {
        "negative": "neg", "positive": "pos", "absolute": "abs", "invert": "invert"
    }.items():  # fmt: skip
        setattr(StrictArray, f"__{short}__", _unary(name, getattr(operator, short)))
    for name in set(api().methods) - _NOT_NEUTRAL:
        setattr(StrictArray, name, _method(name))


_furnish()
