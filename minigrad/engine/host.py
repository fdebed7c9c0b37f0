"""A Tensor as a Python value: a number, a sequence, a NumPy array, a printed text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend import Device
from ..backend import device as get_device
from ..errors import DTypeError, GradError, ShapeError
from .operators import ops

if TYPE_CHECKING:
    from .tensor import Tensor


class HostValue:
    """What a Tensor inherits to leave minigrad: `item`, `numpy`, protocols of Python and NumPy."""

    __slots__ = ()

    data: Any
    node: Any
    requires_grad: bool
    _name: str | None

    if TYPE_CHECKING:

        @property
        def device(self) -> Device: ...
        @property
        def dtype(self) -> np.dtype[Any]: ...
        @property
        def ndim(self) -> int: ...
        @property
        def shape(self) -> tuple[int, ...]: ...
        @property
        def size(self) -> int: ...

    def __len__(self) -> int:
        if not self.shape:
            raise ShapeError("len: a 0-d tensor has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise ShapeError("iter: cannot iterate over a 0-d tensor")
        return iter(ops.unstack(self))

    def __bool__(self) -> bool:
        return bool(self._single("bool"))

    def __int__(self) -> int:
        return int(self._single("int"))

    def __float__(self) -> float:
        return float(self._single("float"))

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise DTypeError(f"index: needs an integer tensor, got {self.dtype}")
        return int(self._single("index"))

    def __complex__(self) -> complex:
        return complex(self._single("complex"))

    def _single(self, what: str) -> Any:
        data = self.data
        if data.size != 1:
            raise ShapeError(f"{what}: needs a tensor with one element, got shape {self.shape}")
        return data.item()

    def item(self) -> Any:
        """The only element, as a Python number (waits for the GPU)."""
        return self._single("item")

    def tolist(self) -> Any:
        """The values as nested lists."""
        return self.numpy().tolist()

    def numpy(self) -> np.ndarray[Any, Any]:
        """The values as a NumPy array: shares memory on the CPU, a copy from elsewhere."""
        return self.device.to_host(self.data)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if self.requires_grad:
            raise GradError(
                "np.asarray: this tensor requires grad, and NumPy would lose that; "
                "use .detach().numpy(), or a minigrad function to stay differentiable"
            )
        if self.device.kind != "cpu":
            raise TypeError(f"np.asarray: the tensor is on {self.device}; call .numpy() to copy it")
        return np.array(self.data, dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return ops.numpy_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, f: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return ops.numpy_function(f, args, kwargs)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return ops.array_namespace(api_version)

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        if self.requires_grad:
            raise GradError("dlpack: this tensor requires grad; export .detach()")
        return self.data.__dlpack__(
            stream=stream, max_version=max_version, dl_device=dl_device, copy=copy
        )

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.data.__dlpack_device__()

    def __repr__(self) -> str:
        body = np.array2string(self.numpy(), separator=", ", prefix="tensor(")
        notes = [] if self.dtype in _PLAIN else [f"dtype={self.dtype}"]
        if str(self.device) != "cpu":
            notes.append(f"device={self.device}")
        if self.node is not None:
            notes.append(f"op={self.node.op.name}")
        elif self.requires_grad:
            notes.append("requires_grad=True")
        if self._name:
            notes.append(f"name={self._name!r}")
        return f"tensor({', '.join([body, *notes])})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.ndim == 0 and spec else format(repr(self), spec)

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self.node is not None:
            raise GradError("pickle/copy: only leaf tensors can be copied; call .detach() first")
        return _rebuild, (
            type(self),
            self.numpy(),
            str(self.device),
            self.requires_grad,
            self._name,
        )


_PLAIN = {np.dtype(t) for t in ("float32", "int64", "bool")}  # repr leaves these out


def _rebuild(
    cls: type[Tensor],
    data: np.ndarray[Any, Any],
    device: str,
    requires_grad: bool,
    name: str | None,
) -> Tensor:
    array = get_device(device).asarray(data.copy())
    return cls(array, requires_grad=requires_grad, name=name)
