"""`Module` and `Parameter`: a tree of layers whose parameters can be listed, saved and moved.

A module is an ordinary object: its parameters are the `Parameter`s among its attributes, its
children the modules (both also inside lists, tuples and dicts), in the order of definition.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self, TypeVar

import numpy as np

from ..backend import Device, is_dtype
from ..backend import device as find_device
from ..engine import MODES, Hook, Tensor, settle
from ..engine.calls import TORCH, wrong_arguments
from ..errors import DTypeError
from ..ops import get_default_dtype
from .loading import load


class Parameter(Tensor):
    """A Tensor that a Module owns and an optimiser updates. Requires grad unless told otherwise."""

    __slots__ = ()

    def __init__(self, data: Any, *, requires_grad: bool = True, name: str | None = None) -> None:
        super().__init__(data, requires_grad=requires_grad, name=name)


class Module:
    """Base class of all layers and models: the constructor declares, `forward` computes.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> class Classifier(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.hidden = nn.Linear(4, 8)
    ...         self.out = nn.Linear(8, 2)
    ...
    ...     def forward(self, x):
    ...         return self.out(mg.relu(self.hidden(x)))
    >>> model = Classifier()
    >>> model(mg.zeros((3, 4))).shape
    (3, 2)
    >>> model
    Classifier(  # 58 parameters
      (hidden): Linear(4, 8)  # 40
      (out): Linear(8, 2)  # 18
    )
    """

    training: bool

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        if not TORCH.keys().isdisjoint(kwargs):
            signature = inspect.signature(cls.__init__)
            unknown = [name for name in kwargs if name not in signature.parameters]
            varied = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
            if unknown and not varied:
                own = signature.replace(parameters=list(signature.parameters.values())[1:])
                raise wrong_arguments(cls.__name__, own, unknown, f"no argument {unknown[0]!r}")
        return super().__new__(cls)

    def __init__(self) -> None:
        self.training = True
        self._buffers: dict[str, bool] = {}  # name → is it part of the state dict?
        self._name = ""
        self._hooks: dict[int, Callable[..., Any]] = {}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The layer's function. Call the module itself, not this."""
        raise NotImplementedError(f"{type(self).__name__} has no forward method")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        modes = MODES.get()
        if modes.recorder is not None:
            modes.recorder.conditions.mode(self)
        token = MODES.set(modes.inside(self._name or type(self).__name__))
        try:
            output = self.forward(*args, **kwargs)
            for hook in list(self._hooks.values()) if self._hooks else ():
                changed = hook(self, args, output)
                output = output if changed is None else changed
            return output
        finally:
            MODES.reset(token)

    def register_forward_hook(self, hook: Callable[[Self, tuple[Any, ...], Any], Any]) -> Hook:
        """Call `hook(module, args, output)` after each forward pass, to look at what comes out.

        What it returns, unless None, is the output instead. The handle's `remove()` ends it. A
        program of `mg.compile` calls hooks while it is recorded, and only then.

        >>> import minigrad as mg
        >>> from minigrad import nn
        >>> seen = []
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
        >>> handle = model[1].register_forward_hook(lambda m, args, y: seen.append(y.shape))
        >>> _ = model(mg.zeros((3, 4)))
        >>> handle.remove()
        >>> seen
        [(3, 8)]
        """
        return Hook(self._hooks, hook)

    # -- the tree ------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Tensor | Module) and "training" not in self.__dict__:
            raise TypeError(f"{type(self).__name__}: call super().__init__() before setting {name}")
        old = self.__dict__.get(name)
        if isinstance(old, Parameter) and not isinstance(value, Parameter) and value is not None:
            raise TypeError(
                f"{type(self).__name__}.{name} is a Parameter and would stop being one; write into "
                f"it with .assign_(value), or set it to nn.Parameter(value)"
            )
        if not isinstance(value, Tensor | None) and name in self.__dict__.get("_buffers", ()):
            raise TypeError(
                f"{type(self).__name__}.{name} is a buffer, a Tensor, and would stop being one; "
                f"got {type(value).__name__}"
            )
        object.__setattr__(self, name, value)
        for path, child in _find(Module, name, value):
            child._name = path

    def register_buffer(self, name: str, value: Tensor | None, *, persistent: bool = True) -> None:
        """A Tensor that belongs to the state but is not trained, such as a running mean."""
        setattr(self, name, value)
        self._buffers[name] = persistent

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the direct children."""
        for name, value in list(vars(self).items()):
            yield from _find(Module, name, value)

    def children(self) -> Iterator[Module]:
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """(path, module) of this module and all below it; a shared module once."""
        seen: set[int] = set()
        for path, module in self._walk(prefix):
            if id(module) not in seen:
                seen.add(id(module))
                yield path, module

    def modules(self) -> Iterator[Module]:
        return (module for _, module in self.named_modules())

    def _walk(
        self, prefix: str = "", above: tuple[Module, ...] = ()
    ) -> Iterator[tuple[str, Module]]:
        yield prefix, self
        above = (*above, self)
        for name, child in self.named_children():
            if not any(child is m for m in above):  # a reference back to a parent is no child
                yield from child._walk(f"{prefix}.{name}" if prefix else name, above)

    def _all_tensors(self) -> Iterator[tuple[str, Module, str, Tensor]]:
        """(path, owner, attribute, tensor) of each parameter and buffer, repeats included."""
        for path, module in self._walk():
            for attribute, value in list(vars(module).items()):
                kind = Tensor if attribute in module._buffers else Parameter
                for name, t in _find(kind, attribute, value):
                    yield (f"{path}.{name}" if path else name), module, attribute, t

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """(path, parameter) in order of definition; a shared parameter once, by its first path."""
        seen: set[int] = set()
        for path, _, _, value in self._all_tensors():
            if isinstance(value, Parameter) and id(value) not in seen:
                seen.add(id(value))
                yield path, value

    def parameters(self) -> Iterator[Parameter]:
        return (p for _, p in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        for path, _, _, value in self._all_tensors():
            if not isinstance(value, Parameter):
                yield path, value

    def buffers(self) -> Iterator[Tensor]:
        return (b for _, b in self.named_buffers())

    def num_parameters(self) -> int:
        """How many numbers are trained; shared ones count once."""
        return sum(p.size for p in self.parameters())

    # -- modes -----------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Training behaviour (dropout on) for this module and all below; returns it."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Evaluation behaviour (dropout off); returns the module."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Train these parameters, or freeze them."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for p in self.parameters():
            p.grad = None

    def apply(self, f: Callable[[Module], Any]) -> Self:
        """Call `f` on each module, children first."""
        for module in reversed(list(self.modules())):
            f(module)
        return self

    def to(self, target: Any) -> Self:
        """Move to a device, or cast the floating tensors to a dtype; in place, returns the module.

        Parameters keep their identity, so an optimiser made before keeps working; gradients go.

        Raises: DTypeError for a dtype that is not floating.
        """
        tensors = list({id(t): t for _, _, _, t in self._all_tensors()}.values())
        if isinstance(target, Device) or (isinstance(target, str) and not is_dtype(target)):
            arrays = [find_device(target).asarray(t.data) for t in tensors]
        else:
            dtype = np.dtype(target)
            if dtype.kind not in "fV":
                raise DTypeError(f"to: parameters cannot be {dtype}; give a floating dtype")
            arrays = [t.data.astype(dtype) if t.dtype.kind in "fV" else t.data for t in tensors]
        for t, array in zip(tensors, arrays, strict=True):
            t.data, t.grad = array, None
        settle(tensors)
        return self

    # -- state -------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Tensor]:
        """A copy of every parameter and persistent buffer, by path."""
        return {
            path: Tensor(t.data.copy())
            for path, module, name, t in self._all_tensors()
            if module._buffers.get(name, True)
        }

    def load_state_dict(self, state: Mapping[str, Any], *, strict: bool = True) -> None:
        """Copy values in by path. All names, shapes and kinds are checked before anything changes.

        Accepts Tensors, NumPy arrays and PyTorch tensors, so `torch_module.state_dict()` works.

        Raises:
            CheckpointError: a name is missing or unknown (with `strict`), or a shape differs.
        """
        own = {
            path: t
            for path, module, name, t in self._all_tensors()
            if module._buffers.get(name, True)
        }
        load(type(self).__name__, own, state, strict=strict)

    # -- showing -----------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What stands between the parentheses of a layer without children."""
        return ""

    def __repr__(self) -> str:
        return self._lines("", set())

    def _lines(self, indent: str, seen: set[int]) -> str:
        count = f"{self.num_parameters():,}"
        children = list(self.named_children())
        head = f"{type(self).__name__}({self.extra_repr()}"
        if id(self) in seen:
            return f"{head})  # shared, counted above"
        seen.add(id(self))
        note = f"  # {count} parameters" if not indent else f"  # {count}"
        if not children:
            return f"{head}){note if count != '0' else ''}"
        body = "".join(
            f"\n{indent}  ({name}): {child._lines(indent + '  ', seen)}" for name, child in children
        )
        return f"{head}{note}{body}\n{indent})"


T = TypeVar("T")


def _find(kind: type[T], name: str, value: Any) -> Iterator[tuple[str, T]]:
    """(path, object) of each object of this kind: `value` itself, or in a list, tuple or dict."""
    if isinstance(value, kind):
        yield name, value
    elif isinstance(value, list | tuple | dict):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(item, (kind, list, tuple, dict)):  # else skipped fast: a vocabulary
                yield from _find(kind, f"{name}.{key}", item)


def new_parameter(*shape: int, dtype: Any = None, device: Any = None) -> Parameter:
    """A zero Parameter of the default dtype on the default device; layers then initialise it."""
    zeros = np.zeros(shape, dtype=dtype or get_default_dtype())
    return Parameter(find_device(device).asarray(zeros))
