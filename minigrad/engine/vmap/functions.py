"""The array functions of a `Batch`, found by name: what `xp` is for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ...backend import Array
from . import places, rules
from .array import Batch
from .rules import Axis, elementwise, looped, reduction


class BatchNamespace:
    """What `xp` is for arrays of n examples."""

    compiled = False  # kernels for one array would not do

    def __init__(self, kind: type[Batch], prefix: str = "") -> None:
        self._kind, self._prefix, self.__name__ = kind, prefix, "vmap"
        self.lift = kind.lift

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        full = self._prefix + name
        inner = self._kind.device.inner.xp
        for part in full.split("."):
            inner = getattr(inner, part)
        found: Any
        if full in _CREATION:
            found = _creation(self._kind, name)
        elif full in _RULES:
            found = _ruled(self._kind, name, _RULES[full])
        elif full in ("linalg", "lib", "lib.stride_tricks"):
            found = BatchNamespace(self._kind, full + ".")
        elif hasattr(inner, "at") and hasattr(inner, "reduce"):
            found = Ufunc(self._kind, name)
        elif callable(inner) and not isinstance(inner, type):
            found = _ruled(self._kind, name, looped)
        else:
            found = inner  # a dtype or a number
        setattr(self, name, found)
        return found

    def method(self, name: str, x: Batch) -> Callable[..., Any]:
        """x.name as a function of what follows."""
        return partial(_RULES.get(name, looped), self._kind, _Method(name), x)

    getitem = staticmethod(places.getitem)
    setitem = staticmethod(places.setitem)


class _Method:
    """The method of that name, of whatever array it is called with."""

    def __init__(self, name: str) -> None:
        self.name = self.__name__ = name

    def __call__(self, x: Array, *args: Any, **kwargs: Any) -> Any:
        return getattr(x, self.name)(*args, **kwargs)


def _ruled(kind: type[Batch], name: str, rule: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        inner = kind.device.inner.xp
        function = getattr(inner, name, None) or getattr(inner.linalg, name, None)
        if function is None:
            function = getattr(inner.lib.stride_tricks, name)
        return rule(kind, function, *args, **kwargs)

    call.__name__ = name
    return call


class Ufunc:
    """An elementwise function, with its methods."""

    def __init__(self, kind: type[Batch], name: str) -> None:
        self.__name__, self._kind, self._f = name, kind, getattr(kind.device.inner.xp, name)
        self._nin = getattr(self._f, "nin", 2)
        self._single = getattr(self._f, "nout", 1) == 1

    def __call__(self, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        if len(args) > self._nin:
            args, out = args[: self._nin], args[self._nin]
        if out is not None and not isinstance(out, Batch | tuple):
            raise TypeError(f"{self.__name__}: out is {type(out).__name__}, expected a batch")
        raw = self._plain(args, out) if self._single and not kwargs else None
        if raw is not None:
            y = self._f(*raw)
            return self._kind(y) if out is None else out
        return elementwise(self._kind, self._f, *args, out=out, **kwargs)

    def _plain(self, args: tuple[Any, ...], out: Any) -> list[Any] | None:
        """The values, in the most frequent case: examples of equally many axes, and numbers."""
        raw, ndim = [], 0
        for a in args if out is None else (*args, out):
            if type(a) is self._kind and not a.shared:
                value = a.value
                if ndim and value.ndim != ndim:
                    return None
                ndim = value.ndim
                raw.append(value)
            elif type(a) is float or type(a) is int:
                raw.append(a)
            else:
                return None
        return raw if ndim else None

    def at(self, x: Batch, indices: Any, *values: Any) -> None:
        """In place, repeated indices included."""
        looped(self._kind, _named("at", self._f.at), x, indices, *values)

    def reduce(self, x: Batch, axis: Axis = 0, **kwargs: Any) -> Any:
        return reduction(self._kind, self._f.reduce, x, axis, **kwargs)

    def outer(self, a: Any, b: Any) -> Any:
        return looped(self._kind, self._f.outer, a, b)


def _named(name: str, f: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        return f(*args)

    call.__name__ = name
    return call


def _creation(kind: type[Batch], name: str) -> Callable[..., Any]:
    """Memory of each example's own, as kernels write into what they make."""

    def make(shape: Any, *args: Any, **kwargs: Any) -> Any:
        if name.endswith("_like"):
            kwargs = {"dtype": shape.dtype, **kwargs}
            shape = shape.shape
        shape = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
        f = getattr(kind.device.inner.xp, name.removesuffix("_like"))
        if name.startswith("full"):
            value = kwargs.pop("fill_value", None) if not args else args[0]
            dtype = args[1] if len(args) > 1 else kwargs.pop("dtype", None)
            if type(value) is kind:
                y = kind(f((kind.n, *shape), 0, dtype or value.dtype))
                y[...] = value
                return y
            args = (value, dtype)
        return kind(f((kind.n, *shape), *args, **kwargs))

    make.__name__ = name
    return make


def _upload(kind: type[Batch], f: Any, x: Any, dtype: Any = None, **_: Any) -> Any:
    if isinstance(x, list | tuple) and any(isinstance(each, Batch) for each in x):
        x = rules.joined(kind, kind.device.inner.xp.stack, x)
    y = kind.device.asarray(x, dtype)
    return y.copy() if f.__name__ == "array" and y is x else y


_CREATION = {
    "empty", "zeros", "ones", "full", "empty_like", "zeros_like", "ones_like", "full_like",
}  # fmt: skip
_REDUCTIONS = "sum prod max min amax amin mean any all var std"
_LINALG = ["inv", "det", "slogdet", "cholesky", "eigh", "eigvalsh", "svd", "qr"]
_RULES: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(_REDUCTIONS.split(), reduction),
    **dict.fromkeys(["argmax", "argmin", "cumsum", "cumprod"], rules.flat_reduction),
    **dict.fromkeys(["sort", "argsort"], rules.along),
    **dict.fromkeys(["moveaxis", "swapaxes"], rules.shifted),
    **dict.fromkeys(["concatenate", "stack", "concat"], rules.joined),
    **dict.fromkeys(["array", "asarray", "ascontiguousarray"], _upload),
    **dict.fromkeys(["tril", "triu", "copy", "astype"], rules.last_two),
    **{f"linalg.{name}": rules.last_two for name in _LINALG},
    **dict.fromkeys(["where", "clip", "round", "isnan", "isfinite", "isinf"], elementwise),
    "broadcast_to": rules.broadcast_to,
    "expand_dims": rules.expand_dims,
    "flip": rules.flip,
    "reshape": rules.reshape,
    "squeeze": rules.squeeze,
    "take": places.take,
    "transpose": rules.transpose,
    "permute_dims": rules.transpose,
}
