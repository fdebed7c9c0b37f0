"""The strict device's `xp`: NumPy's functions, if CuPy has them, with the parameters CuPy has."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from minigrad.testing.cupy_api import api, parameters
from minigrad.testing.strict.array import StrictArray, checked, names, unwrap, wrap
from minigrad.testing.strict.events import call, event, poison
from minigrad.testing.strict.ufunc import ufunc

_UPLOAD = frozenset(("array", "asarray", "asanyarray", "ascontiguousarray", "asfortranarray"))
_SYNC = names(
    "nonzero flatnonzero argwhere unique unique_all unique_counts unique_inverse unique_values "
    "extract compress bincount intersect1d setdiff1d setxor1d union1d in1d trim_zeros delete "
    "choose place histogram digitize piecewise lexsort median percentile quantile"
)
_STACK = names("concatenate concat stack hstack vstack row_stack dstack column_stack")
_WRITE = names("copyto fill_diagonal put put_along_axis putmask place")
_SCALAR = frozenset(("allclose", "array_equal", "array_equiv", "count_nonzero"))
"""Functions whose Python scalars are 0-d arrays in CuPy."""

_HOST = names(
    "arange eye identity linspace logspace tri zeros ones empty full indices fromfunction "
    "tril_indices triu_indices diag_indices mask_indices unravel_index bartlett blackman hamming "
    "hanning kaiser broadcast_shapes result_type can_cast promote_types min_scalar_type "
    "common_type issubdtype isdtype isscalar iterable base_repr binary_repr typename "
    "fft.fftfreq fft.rfftfreq"
)
"""Functions that need no array among their arguments."""

_REFUSED = {
    **dict.fromkeys(
        ("matmul", "dot", "vdot", "inner", "tensordot"),
        "multiply through minigrad.backend.matmul, the one GEMM entry",
    ),
    **dict.fromkeys(
        ("mgrid", "ogrid", "r_", "c_", "vectorize", "poly1d", "broadcast", "flatiter", "ufunc"),
        "not neutral code",
    ),
    **dict.fromkeys(
        names(
            "load save savez savez_compressed savetxt loadtxt genfromtxt fromfile fromstring "
            "frombuffer fromiter array2string array_repr array_str from_dlpack"
        ),
        "host business",
    ),
    "random": "draw from device.rng",
}


class StrictNamespace:
    """Drop-in for `cupy`: what it has works as in NumPy, what it lacks raises AttributeError."""

    ndarray = StrictArray

    def __init__(self, module: ModuleType = np, prefix: str = "") -> None:
        self._module = module
        self._prefix = prefix
        self.__name__ = "strict"

    def __repr__(self) -> str:
        return f"<strict namespace {self._prefix or 'xp'}>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        full = self._prefix + name
        if full in _REFUSED:
            raise AttributeError(f"xp.{full}: {_REFUSED[full]}")
        if full not in api():
            raise AttributeError(f"module 'cupy' has no attribute {full!r} ({api().version})")
        found = getattr(self._module, name)
        value: Any = found
        if full in api().ufuncs:
            value = ufunc(name)
        elif full in api().functions:
            value = StrictFunction(full, found)
        elif isinstance(found, ModuleType):
            value = StrictNamespace(found, full + ".")
        setattr(self, name, value)
        return value


class StrictFunction:
    """One function of the namespace."""

    def __init__(self, name: str, function: Any) -> None:
        self.name = self.__name__ = name
        self._f = function
        self._parameters = parameters(name)
        self._library = name == "einsum" or name.startswith("linalg.")

    def __repr__(self) -> str:
        return f"<strict function {self.name!r}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        name = self.name
        if name in _UPLOAD:
            self._parameters.bind(name, args, kwargs)
            return self._upload(*args, **kwargs)
        arguments = checked(name, self._parameters, args, kwargs)
        self._report(arguments)
        raw = [unwrap(each, name) for each in args]
        named = {key: unwrap(each, name) for key, each in kwargs.items()}
        if name not in _HOST and not _any_array((raw, list(named.values()))):
            raise TypeError(f"cupy.{name}: no device array among the arguments")
        out = arguments.get("out")
        if out is not None and not isinstance(out, StrictArray):
            raise TypeError(f"cupy.{name}: out must be a device array, got {type(out).__name__}")
        writes = () if out is None else (out._a,)
        if name in _WRITE:
            writes = (raw[0],)
        result = call(self._f, *raw, writes=writes, **named)
        if out is not None:
            return out
        if name in _SCALAR:
            result = np.asarray(result)
        if name in ("empty", "empty_like"):
            poison(result)
        return wrap(result)

    def _report(self, arguments: dict[str, Any]) -> None:
        """Say what this call would do to a GPU."""
        name = self.name
        if name in _SYNC or (name == "where" and "x" not in arguments):
            event("sync", f"xp.{name}")
        if self._library:
            event("library", f"xp.{name}")
        if name in _STACK and isinstance(arrays := arguments["tup"], (tuple, list)):
            strict = [each for each in arrays if isinstance(each, StrictArray)]
            if len(strict) > 8 and sum(each.nbytes for each in strict) < len(strict) * 2**21:
                event("upload", f"xp.{name} of more than 8 small arrays, a table of pointers,")

    def _upload(self, obj: Any, *args: Any, **kwargs: Any) -> StrictArray:
        """Arrays out of host data, the only place where host data may come in."""
        if isinstance(obj, StrictArray):
            result = call(self._f, obj._a, *args, **kwargs)
            return obj if result is obj._a else StrictArray(result)
        if isinstance(obj, (tuple, list)) and any(isinstance(each, StrictArray) for each in obj):
            return StrictArray(call(self._f, unwrap(obj, self.name), *args, **kwargs))
        event("upload", f"xp.{self.name}(host data)")
        return StrictArray(np.array(self._f(obj, *args, **kwargs), copy=True))


def _any_array(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return any(map(_any_array, value))
    return isinstance(value, np.ndarray)
