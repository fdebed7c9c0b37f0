"""`Tensor`: an array, and where it came from.

A Tensor knows its array, the tape line (`Node`) that made it, and, if it is a leaf, its gradient.
Its operators and array methods are aliases of ops and stand in `operators.py`; what makes it a
number, a sequence or a NumPy array stands in `host.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend import NAMESPACES, Array, Device, device_of, is_dtype
from ..backend import device as get_device
from ..errors import ConfigError, DTypeError, GradError, ShapeError
from .host import HostValue
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


class Tensor(HostValue, Operators):
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
        recorder = MODES.get().recorder
        if recorder is not None:
            recorder.lift(self)
            value = recorder.lift(value)
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
        if isinstance(target, Device) or (isinstance(target, str) and not is_dtype(target)):
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

    def __init__(self, owner: dict[int, Callable[..., Any]], hook: Callable[..., Any]) -> None:
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
