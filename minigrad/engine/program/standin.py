"""The array that stands in for NumPy's while a program is recorded.

It holds a real array and computes with it, so recording is a true run of the step; and it tells the
recorder each call of NumPy that is made with it. What needs a value on the host (`.item()`,
`if array`, a boolean mask as index) cannot be in a program: it raises `Untraceable`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import CompileError
from ..tensor import Tensor
from .memory import Host, Ref

if TYPE_CHECKING:
    from .recorder import Recorder


class Untraceable(CompileError):  # noqa: N818  it is caught where a kernel can be called whole
    """A value was needed on the host."""


class StandIn:
    """A NumPy array whose use is recorded."""

    __slots__ = ("__weakref__", "recorder", "ref", "value")
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, recorder: Recorder, value: Host, ref: Ref) -> None:
        self.recorder, self.value, self.ref = recorder, value, ref

    shape = property(lambda self: self.value.shape)
    dtype = property(lambda self: self.value.dtype)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    itemsize = property(lambda self: self.value.itemsize)
    nbytes = property(lambda self: self.value.nbytes)
    strides = property(lambda self: self.value.strides)
    flags = property(lambda self: self.value.flags)
    base = property(lambda self: self.value.base)
    T = property(lambda self: self._call(np.transpose, self))
    mT = property(lambda self: self._call(np.swapaxes, self, -1, -2))  # noqa: N815

    def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return self.recorder.call(function, args, kwargs)

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator[StandIn]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"<{self.dtype}{list(self.shape)} in a program>"

    # -- through NumPy's own functions -------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        if any(isinstance(a, Tensor) for a in args):
            return NotImplemented  # it is the Tensor's to say what that means
        if kwargs.get("out") and type(kwargs["out"]) is tuple and len(kwargs["out"]) == 1:
            kwargs["out"] = kwargs["out"][0]
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        return self.recorder.call(function, args, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if any(issubclass(t, Tensor) for t in types):
            return NotImplemented
        return self.recorder.call(function, args, kwargs)

    # -- the host ----------------------------------------------------------------------------

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise Untraceable("its values are needed as a NumPy array")

    def item(self, *args: Any) -> Any:
        """The value, which a program does not have when it is recorded."""
        raise Untraceable("its value is needed as a Python number")

    tolist = __bool__ = __float__ = __int__ = __index__ = __complex__ = item

    def __format__(self, spec: str) -> str:
        raise Untraceable("its value is printed")

    # -- reading and writing -----------------------------------------------------------------

    def __getitem__(self, index: Any) -> Any:
        return self._call(operator.getitem, self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        self.recorder.assign(self, index, value)

    # -- methods -----------------------------------------------------------------------------

    def astype(self, dtype: Any, *, copy: bool = True, **kwargs: Any) -> Any:
        """The values as another dtype."""
        if not copy and self.dtype == dtype:
            return self
        return self._call(np.ndarray.astype, self, dtype, **kwargs)

    def reshape(self, *shape: Any, **kwargs: Any) -> Any:
        """The same values in another shape: a view where possible."""
        return self._call(np.reshape, self, shape[0] if len(shape) == 1 else shape, **kwargs)

    def transpose(self, *axes: Any) -> Any:
        """A view with its axes permuted."""
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes or None
        return self._call(np.transpose, self, order)

    def view(self, dtype: Any) -> Any:
        """The same bytes as another dtype."""
        return self._call(np.ndarray.view, self, dtype)

    def fill(self, value: Any) -> None:
        """Write one value everywhere."""
        self.recorder.assign(self, ..., value)

    def sum(self, axis: Any = None, dtype: Any = None, out: Any = None, **kwargs: Any) -> Any:
        """The sum over `axis`."""
        return self._call(np.add.reduce, self, axis=axis, dtype=dtype, out=out, **kwargs)

    def prod(self, axis: Any = None, dtype: Any = None, out: Any = None, **kwargs: Any) -> Any:
        """The product over `axis`."""
        return self._call(np.multiply.reduce, self, axis=axis, dtype=dtype, out=out, **kwargs)

    def max(self, axis: Any = None, out: Any = None, **kwargs: Any) -> Any:
        """The largest value over `axis`."""
        return self._call(np.maximum.reduce, self, axis=axis, out=out, **kwargs)

    def min(self, axis: Any = None, out: Any = None, **kwargs: Any) -> Any:
        """The smallest value over `axis`."""
        return self._call(np.minimum.reduce, self, axis=axis, out=out, **kwargs)

    def all(self, axis: Any = None, out: Any = None, **kwargs: Any) -> Any:
        """Whether all are true over `axis`."""
        return self._call(np.logical_and.reduce, self, axis=axis, out=out, **kwargs)

    def any(self, axis: Any = None, out: Any = None, **kwargs: Any) -> Any:
        """Whether one is true over `axis`."""
        return self._call(np.logical_or.reduce, self, axis=axis, out=out, **kwargs)

    def __pow__(self, exponent: Any) -> Any:
        if isinstance(exponent, Tensor):
            return NotImplemented
        if type(exponent) in (int, float) and self.dtype.kind == "f" and exponent in _POWERS:
            return self._call(_POWERS[exponent], self)  # NumPy's ** does the same
        return self._call(np.power, self, exponent)

    def __rpow__(self, base: Any) -> Any:
        return self._call(np.power, base, self)

    def __ipow__(self, exponent: Any) -> Any:
        return self._call(np.power, self, exponent, out=self)


_POWERS = {2: np.square, 0.5: np.sqrt, -1: np.reciprocal, 1: np.positive}

_OPERATORS = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.true_divide,
    "floordiv": np.floor_divide,
    "mod": np.remainder,
    "matmul": np.matmul,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "lshift": np.left_shift,
    "rshift": np.right_shift,
}
_COMPARISONS = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
_UNARY = {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}
_METHODS = (
    "argmax argmin argsort clip conj copy cumprod cumsum diagonal dot flatten mean nonzero ravel "
    "repeat round searchsorted sort squeeze std swapaxes take trace var"
)


def _binary(ufunc: Any) -> tuple[Callable[..., Any], ...]:
    def forward(self: StandIn, other: Any) -> Any:
        return NotImplemented if isinstance(other, Tensor) else self._call(ufunc, self, other)

    def reflected(self: StandIn, other: Any) -> Any:
        return self._call(ufunc, other, self)

    def in_place(self: StandIn, other: Any) -> Any:
        given = isinstance(other, Tensor)
        return NotImplemented if given else self._call(ufunc, self, other, out=self)

    return forward, reflected, in_place


def _method(function: Any) -> Callable[..., Any]:
    def method(self: StandIn, *args: Any, **kwargs: Any) -> Any:
        return self._call(function, self, *args, **kwargs)

    return method


for _name, _ufunc in _OPERATORS.items():
    for _prefix, _function in zip(("", "r", "i"), _binary(_ufunc), strict=True):
        setattr(StandIn, f"__{_prefix}{_name}__", _function)
for _name, _ufunc in _COMPARISONS.items():
    setattr(StandIn, f"__{_name}__", _binary(_ufunc)[0])
for _name, _ufunc in _UNARY.items():
    setattr(StandIn, f"__{_name}__", _method(_ufunc))
for _name in _METHODS.split():
    setattr(StandIn, _name, _method(getattr(np.ndarray, _name)))
