"""The strict device's array: a NumPy array behind CuPy's rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np

from minigrad.testing.cupy_api import Parameters
from minigrad.testing.strict.events import call, event


def names(text: str) -> frozenset[str]:
    """The words of `text`."""
    return frozenset(text.split())


DTYPES = frozenset("?bBhHiIlLqQefdFD")
"""The element types CuPy computes with everywhere (bfloat16 belongs inside named kernels)."""

METADATA = names(
    "axis axes axis1 axis2 axisa axisb axisc shape newshape new_shape dims dimensions order dtype "
    "copy keepdims casting subok ndmin blocking reps repeats shift source destination pad_width "
    "indices_or_sections offset ord s ddof decimals window_shape strides bins range k n num N M "
    "to from_ kth mode type kind side start stop step"
)
"""Parameters that are read on the host: Python numbers, never device arrays."""


class StrictArray:
    """A NumPy array that behaves as if its memory were on a GPU."""

    __slots__ = ("__weakref__", "_a")
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        if array.dtype.char not in DTYPES:
            raise TypeError(f"Unsupported dtype {array.dtype}: CuPy has no such arrays")
        self._a = array

    # What may be asked without waiting for the device.
    shape = property(lambda self: self._a.shape)
    dtype = property(lambda self: self._a.dtype)
    ndim = property(lambda self: self._a.ndim)
    size = property(lambda self: self._a.size)
    itemsize = property(lambda self: self._a.itemsize)
    nbytes = property(lambda self: self._a.nbytes)
    strides = property(lambda self: self._a.strides)
    flags = property(lambda self: self._a.flags)
    T = property(lambda self: wrap(call(np.ndarray.transpose, self._a)))
    mT = property(lambda self: wrap(call(np.ndarray.swapaxes, self._a, -1, -2)))  # noqa: N815
    real = property(lambda self: wrap(call(np.real, self._a)))
    imag = property(lambda self: wrap(call(np.imag, self._a)))

    def __len__(self) -> int:
        return len(self._a)

    def __iter__(self) -> Iterator[StrictArray]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"Strict{self._a!r}"

    def __copy__(self) -> StrictArray:
        return StrictArray(self._a.copy())

    def __deepcopy__(self, memo: Any) -> StrictArray:
        return StrictArray(self._a.copy())

    # What waits for the device.
    def get(self) -> np.ndarray[Any, Any]:
        """A copy on the host."""
        event("download", "ndarray.get()")
        return self._a.copy()

    def set(self, host: Any) -> None:
        """Overwrite with a host array of the same shape."""
        event("upload", "ndarray.set()")
        if not isinstance(host, np.ndarray) or host.shape != self.shape:
            raise ValueError(f"ndarray.set(): expected a NumPy array of shape {self.shape}")
        self._a[...] = host

    def item(self) -> Any:
        event("sync", ".item()")
        return self._a.item()

    def tolist(self) -> Any:
        event("sync", ".tolist()")
        return self._a.tolist()

    def __bool__(self) -> bool:
        event("sync", "bool(array)")
        return bool(self._a)

    def __float__(self) -> float:
        event("sync", "float(array)")
        return float(self._a)

    def __int__(self) -> int:
        event("sync", "int(array)")
        return int(self._a)

    def __format__(self, spec: str) -> str:
        event("sync", "format(array)")
        return format(self._a.item() if self.ndim == 0 else self._a, spec)

    # What CuPy's arrays refuse, or what minigrad does through other doors.
    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Use Device.to_host or .numpy()"
        )

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> NoReturn:
        raise TypeError(f"np.{function.__name__}(device array): use xp.{function.__name__}")

    def __array_ufunc__(self, function: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        from minigrad.testing.strict.ufunc import ufunc

        scalars = all(isinstance(each, (StrictArray, np.generic)) for each in args)
        if scalars and any(isinstance(each, np.generic) for each in args) and not kwargs:
            return ufunc(function.__name__)(*args)  # np.float32(2) * array: CuPy does take these
        if any(isinstance(each, np.ndarray) for each in args):
            raise host_array(function.__name__)
        raise TypeError(f"np.{function.__name__}(device array): use xp.{function.__name__}")

    def __contains__(self, value: object) -> NoReturn:
        raise TypeError("`in` on a device array: compare and use .any()")

    def __matmul__(self, other: Any) -> NoReturn:
        raise TypeError("@ on device arrays: multiply through minigrad.backend.matmul")

    __rmatmul__ = __imatmul__ = __matmul__

    # Indexing.
    def __getitem__(self, index: Any) -> StrictArray:
        key = index_key(index)
        if not any(isinstance(each, (np.ndarray, list)) or each is Ellipsis for each in key):
            key = (*key, Ellipsis)  # a view, also of one element
        return StrictArray(call(np.ndarray.__getitem__, self._a, key))

    def __setitem__(self, index: Any, value: Any) -> None:
        if not isinstance(value, (StrictArray, int, float, complex, np.generic)):
            raise TypeError(f"Unsupported type {type(value)}: host data assigned to a device array")
        key = index_key(index)
        raw = value._a if isinstance(value, StrictArray) else value
        if any(isinstance(each, np.ndarray) for each in key):
            if not isinstance(value, StrictArray):
                event("upload", "array[indices] = number")
            elif value.size > 1:  # one value for all: duplicates do no harm
                _no_duplicates(self._a, key)
        call(np.ndarray.__setitem__, self._a, key, raw, writes=(self._a,))


def index_key(index: Any) -> tuple[Any, ...]:
    """`index` as a tuple of what NumPy takes."""
    parts = index if isinstance(index, tuple) else (index,)
    key: list[Any] = []
    for part in parts:
        if isinstance(part, StrictArray):
            if part.dtype == bool:
                event("sync", "indexing with a mask")
            key.append(part._a)
        elif isinstance(part, (list, np.ndarray)):
            event("upload", "indexing with a host array")
            if np.asarray(part).dtype == bool:
                event("sync", "indexing with a mask")
            key.append(np.asarray(part))
        elif isinstance(part, slice):
            if any(isinstance(each, StrictArray) for each in (part.start, part.stop, part.step)):
                raise TypeError("slice indices must be integers: device arrays have no __index__")
            key.append(part)
        elif part is None or part is Ellipsis or isinstance(part, (int, np.integer)):
            key.append(part)
        else:
            raise IndexError(f"Unsupported index type {type(part).__name__}")
    return tuple(key)


def _no_duplicates(array: np.ndarray[Any, Any], key: tuple[Any, ...]) -> None:
    places = np.arange(array.size).reshape(array.shape)[key]
    if np.unique(places).size != places.size:
        raise IndexError("assignment with duplicate indices: on a GPU any of the values may win")


def wrap(result: Any) -> Any:
    """NumPy arrays, also those in tuples, as device arrays; all else as it is."""
    if isinstance(result, (np.ndarray, np.generic)):
        return StrictArray(np.asarray(result))
    return tuple(map(wrap, result)) if isinstance(result, (tuple, list)) else result


def unwrap(value: Any, name: str) -> Any:
    """Device arrays, also those in tuples and lists, as NumPy's. Raises: TypeError for host's."""
    if isinstance(value, StrictArray):
        return value._a
    if isinstance(value, np.ndarray):
        raise host_array(name)
    if isinstance(value, (tuple, list)):
        return type(value)(unwrap(each, name) for each in value)
    return value


def host_array(name: str) -> TypeError:
    """The error for a NumPy array among device arrays."""
    return TypeError(
        f"Unsupported type <class 'numpy.ndarray'>: {name}: a host array among device arrays"
    )


def checked(name: str, parameters: Parameters, args: Any, kwargs: Any) -> dict[str, Any]:
    """Parameter → argument, if CuPy takes these arguments.

    Raises: TypeError also for device arrays where CuPy reads on the host, and for host data where
    it takes arrays.
    """
    arguments = parameters.bind(name, args, kwargs)
    for parameter, value in arguments.items():
        if parameter in METADATA:
            if isinstance(value, StrictArray) or _holds(value, StrictArray):
                raise TypeError(f"cupy.{name}: {parameter} is read on the host, got a device array")
        elif _holds(value, (int, float, complex)) and parameter not in parameters.variadic:
            raise TypeError(f"Unsupported type {type(value)} of {parameter}: cupy.{name}")
    return arguments


def _holds(value: Any, kinds: Any) -> bool:
    return isinstance(value, (tuple, list)) and any(
        isinstance(each, kinds) or _holds(each, kinds) for each in value
    )
