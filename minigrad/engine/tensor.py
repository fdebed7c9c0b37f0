"""`Tensor`: an array, and where it came from.

A Tensor knows its array, the tape line (`Node`) that made it, and, if it is a leaf, its gradient.
Its operators and array methods are aliases of ops and stand in `operators.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import CodeType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend import NAMESPACES, Array, Device, device_of
from ..backend import device as get_device
from ..errors import ConfigError, DTypeError, GradError, ShapeError
from .modes import MODES, Place, place, tick, user_frame
from .operators import Operators, ops

if TYPE_CHECKING:
    from .tape import Node


class Version:
    """When and where a leaf's memory was last written to; shared by all views of it."""

    __slots__ = ("at", "written")
    latest = 0  # the last write into any memory

    def __init__(self) -> None:
        self.written = 0  # on the tape's clock
        self.at: tuple[CodeType, int] | None = None

    @property
    def place(self) -> Place | None:
        """File and line of the user's call."""
        return place(self.at)


TAPE = Version()  # memory that the tape or another gradient may hold: never written to


class Tensor(Operators):
    """An n-dimensional array that remembers how it was computed.

    Make one with `mg.tensor` (copies) or `mg.asarray` (shares memory). Arithmetic returns new
    Tensors and, when an operand has `requires_grad`, records a line on the tape; `backward()` reads
    the tape from newest to oldest and leaves the gradients of the leaves in their `.grad`.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4., 6.])

    `x += 1` and `x[i] = v` give the name a new value; whatever was recorded keeps the old one.
    Only `assign_` writes into memory.
    """

    __slots__ = (
        "__weakref__",
        "_name",
        "data",
        "grad",
        "hooks",
        "index",
        "node",
        "requires_grad",
        "version",
    )
    __array_priority__ = 1000
    __hash__ = object.__hash__

    data: Array
    requires_grad: bool
    grad: Any  # Tensor | RowSparse | None
    node: Node | None
    index: int
    hooks: dict[int, Callable[[Tensor], Tensor | None]] | None
    version: Version | None

    def __init__(self, data: Array, *, requires_grad: bool = False, name: str | None = None):
        self.version = None
        if isinstance(data, Tensor):
            self.version = data.shared_version()
            data = data.data
        elif type(data) not in NAMESPACES or isinstance(data, np.generic):
            data = np.asarray(data)
        if data.dtype.kind not in "fiub" and data.dtype.name != "bfloat16":
            raise DTypeError(f"Tensor: cannot hold dtype {data.dtype}; give numbers or bools")
        self.data = data
        self.node = None
        self.index = 0
        self.grad = None
        self.hooks = None
        self._name = name
        self.requires_grad = False
        if requires_grad:
            self.requires_grad_()

    # -- what it is ------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.data.dtype

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def size(self) -> int:
        return self.data.size

    @property
    def nbytes(self) -> int:
        return self.data.nbytes

    @property
    def device(self) -> Device:
        return device_of(self.data)

    @property
    def is_leaf(self) -> bool:
        """True when no recorded op made this Tensor: its gradient, if any, stays in `.grad`."""
        return self.node is None

    @property
    def name(self) -> str | None:
        """A name for pictures and errors; setting it names the tape line as well."""
        return self._name

    @name.setter
    def name(self, name: str | None) -> None:
        self._name = name
        if self.node is not None:
            self.node.labels = {**(self.node.labels or {}), self.index: name}

    @property
    def T(self) -> Tensor:
        """The transpose of a matrix."""
        if self.ndim != 2:
            raise ShapeError(f"T: needs a matrix, got shape {self.shape}; use .mT or permute_dims")
        return ops.permute_dims(self, (1, 0))

    @property
    def mT(self) -> Tensor:
        """The last two axes swapped."""
        return ops.matrix_transpose(self)

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
        if self.size != 1:
            raise ShapeError(f"{what}: needs a tensor with one element, got shape {self.shape}")
        return self.data.reshape(()).item()

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
        if type(self.data) is not np.ndarray:
            raise TypeError(f"np.asarray: the tensor is on {self.device}; call .numpy() to copy it")
        return np.array(self.data, dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return ops.numpy_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, f: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return ops.numpy_function(f, args, kwargs)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return ops.array_namespace(api_version)

    def __dlpack__(self, **kwargs: Any) -> Any:
        if self.requires_grad:
            raise GradError("dlpack: this tensor requires grad; export .detach()")
        return self.data.__dlpack__(**kwargs)

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
        return _rebuild, (type(self), self.numpy(), str(self.device), self.requires_grad, self.name)

    # -- gradients -------------------------------------------------------------------------

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for (or stop asking for) gradients of this leaf; returns it."""
        if self.node is not None:
            if requires_grad:
                return self
            raise GradError("requires_grad_: only a leaf can stop requiring grad; use .detach()")
        if requires_grad and self.data.dtype.kind not in "fV":
            raise DTypeError(f"requires_grad: {self.dtype} has no gradient; use a floating dtype")
        self.requires_grad = requires_grad
        return self

    def backward(
        self,
        gradient: Tensor | Array | None = None,
        *,
        retain_graph: bool = False,
        create_graph: bool = False,
    ) -> None:
        """Add d(self)/d(leaf) · gradient to the `.grad` of each leaf that requires grad.

        Args:
            gradient: cotangent with the shape of this tensor; ones for a single element.
            retain_graph: keep the saved values, so that backward can run again.
            create_graph: record the backward pass, so that gradients can be differentiated.

        Raises:
            GradError: nothing was recorded, or `gradient` is missing for a non-scalar.
            GraphFreedError: the saved values are gone (a second call without `retain_graph`).
        """
        ops.backward(self, gradient, retain_graph=retain_graph, create_graph=create_graph)

    def detach(self) -> Tensor:
        """The same values, shared, without history."""
        return Tensor(self)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Hook:
        """Call `hook(grad)` when this tensor's gradient is known; a result replaces it."""
        if not self.requires_grad:
            raise GradError("register_hook: this tensor does not require grad")
        if self.node is not None:
            owner = self.node.add_hooks(self.index)
        else:
            self.hooks = owner = self.hooks if self.hooks is not None else {}
        return Hook(owner, hook)

    def shared_version(self) -> Version:
        """The write stamp of this memory."""
        if self.version is None:
            self.version = Version() if self.node is None else TAPE
        return self.version

    def assign_(self, value: Any) -> Tensor:
        """Write `value` into this leaf's memory. The one operation that does.

        For optimisers and running statistics. A later backward pass that needs the old values
        raises `InPlaceError` and names both places. Memory that the tape or another gradient may
        hold (of a detached result, of a `.grad`) is left alone: the tensor moves to its own.
        """
        if self.node is not None:
            raise GradError(
                f"assign_: this tensor is the result of {self.node.op.name}; only a leaf can be "
                "assigned (use x = new_value, or x[i] = v)"
            )
        if isinstance(value, Tensor):
            value = value.data
        shape = getattr(value, "shape", ())
        if shape not in (self.shape, ()):
            raise ShapeError(f"assign_: the tensor has shape {self.shape}, the value {shape}")
        if type(value) is not type(self.data) and type(value) in NAMESPACES and shape:
            value = self.device.asarray(value)
        memory = self.writable()
        if value is not memory:
            memory[...] = value
        version = self.shared_version()
        version.written = Version.latest = tick()
        version.at = user_frame()
        return self

    def writable(self) -> Array:
        """This leaf's array, to write into; `assign_(array)` afterwards stamps the write."""
        if self.version is TAPE:
            self.data, self.version = self.data.copy(), None
        return self.data

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.grad = None

    # -- moving and casting ----------------------------------------------------------------

    def to(self, target: Any) -> Tensor:
        """This tensor on another device or in another dtype: `t.to("cuda:0")`, `t.to("float64")`.

        Differentiable: the gradient comes back to where the tensor was.
        """
        if isinstance(target, Device) or (isinstance(target, str) and not _is_dtype(target)):
            return ops.to_device(self, device=get_device(target))
        return ops.astype(self, np.dtype(target))

    def to_device(self, device: Device | str, /, *, stream: Any = None) -> Tensor:
        """`to(device)` by the Array API standard's name.

        Raises: ConfigError for a stream: minigrad computes on the current one.
        """
        if stream is not None:
            raise ConfigError("to_device: stream must be None; make the stream current instead")
        return ops.to_device(self, device=device)

    def cpu(self) -> Tensor:
        return self.to("cpu")

    def cuda(self) -> Tensor:
        return self.to("cuda")

    def float(self) -> Tensor:
        return self.astype(np.float32)

    def double(self) -> Tensor:
        return self.astype(np.float64)

    # -- indexing --------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Tensor:
        return ops.getitem(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        """`x[key] = value`: x becomes a new value; what was recorded keeps the old one."""
        if self.node is None and self.requires_grad:
            if MODES.get().grad:
                raise GradError(
                    "x[i] = v: x is a leaf that requires grad, so its gradient would be lost; "
                    "use x = x.copy() first to build a function of x, or no_grad() to edit it"
                )
            self.assign_(ops.setitem(self.detach(), value, key=key))
            return
        new = ops.setitem(self, value, key=key)
        self.data, self.node, self.index = new.data, new.node, new.index
        self.requires_grad, self.version = new.requires_grad, None


class Hook:
    """A registered hook; `remove()` takes it away."""

    __slots__ = ("_key", "_owner")

    def __init__(self, owner: dict[int, Callable[[Tensor], Tensor | None]], hook: Any) -> None:
        self._owner, self._key = owner, tick()  # id(self) may be used again
        owner[self._key] = hook

    def remove(self) -> None:
        self._owner.pop(self._key, None)


def wrap(data: Array, node: Node | None = None, index: int = 0) -> Tensor:
    """A Tensor around an array that is known to be one: the constructor of the engine."""
    t = _new(Tensor)
    t.data = data
    t.node = node
    t.index = index
    t.requires_grad = node is not None
    t.grad = t.hooks = t.version = t._name = None
    return t


_new = Tensor.__new__
_PLAIN = {np.dtype(t) for t in ("float32", "int64", "bool")}  # repr leaves these out


def _is_dtype(name: str) -> bool:
    try:
        np.dtype(name)
    except TypeError:
        return False
    return True


def _rebuild(
    cls: type[Tensor],
    data: np.ndarray[Any, Any],
    device: str,
    requires_grad: bool,
    name: str | None,
) -> Tensor:
    array = get_device(device).asarray(data.copy())
    return cls(array, requires_grad=requires_grad, name=name)
