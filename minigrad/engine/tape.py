"""The tape: one `Node` per recorded op, and how it is written. `walk.py` reads it backwards.

Nodes point to the nodes that made their inputs, never to the Tensors they made, so there are no
reference cycles: dropping the last Tensor frees the whole tape at once. Ids only grow, so the order
of ids is an order of evaluation.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from types import CodeType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import GraphFreedError, InPlaceError
from .modes import OUTSIDE, Modes, Place, place, show, tick, user_call
from .tensor import Tensor, Version, wrap

if TYPE_CHECKING:
    from .op import Op


class Spec(NamedTuple):
    """Shape and dtype of a value, where the value itself is not kept."""

    shape: tuple[int, ...]
    dtype: Any

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class Node:
    """A line on the tape: which op, from what, with what saved.

    A line of one output is also its `Spec`: rules that need no more of a value get the line.

    Attributes:
        op: the op; it holds the derivative rules and no state.
        params: its static parameters.
        parents: one entry per array argument: the Node that made it, the leaf Tensor itself, a weak
            reference to a Tensor that needs no gradient, or None for a plain number or array.
        slots: which output of that Node.
        mask: bit i is set if argument i needs a gradient.
        inputs: the values the rules need. In place of a value that they do not need stands what
            has its shape and dtype: the line that made it, the leaf, or a Spec.
        constants: set when the values are freed and an argument needs no gradient: its number or
            Spec, which nobody else may know by then; None for the others.
        outputs, residual: the result if they need it, and what a fused kernel kept for itself.
        shape, dtype: of the output, if it is one.
        many: the Specs of several outputs; None of one.
        labels: names given to outputs.
        id, scope: position, and names of the modules being called.
        at: code and instruction of the user's call; `place` makes file and line of it.
    """

    __slots__ = (
        "at",
        "constants",
        "dtype",
        "hooks",
        "id",
        "inputs",
        "labels",
        "many",
        "mask",
        "op",
        "outputs",
        "params",
        "parents",
        "residual",
        "scope",
        "shape",
        "slots",
        "versions",
    )

    op: Op
    params: dict[str, Any]
    parents: Sequence[Any]
    slots: Sequence[int]
    mask: int
    inputs: Sequence[Any] | None
    constants: tuple[Any, ...]
    outputs: Any
    residual: Any
    shape: tuple[int, ...]
    dtype: Any
    many: tuple[Spec, ...] | None
    labels: dict[int, str | None] | None
    hooks: dict[int, dict[int, Callable[[Tensor], Tensor | None]]] | None
    versions: list[tuple[Version, int]] | None  # of views and constants that were kept
    id: int
    scope: tuple[str, ...]
    at: tuple[CodeType, int] | None

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def specs(self) -> tuple[Spec, ...]:
        """The Spec of each output."""
        return (Spec(self.shape, self.dtype),) if self.many is None else self.many

    @property
    def place(self) -> Place | None:
        """File and line of the user's call."""
        return place(self.at)

    def add_hooks(self, index: int) -> dict[int, Callable[[Tensor], Tensor | None]]:
        """The hooks of output `index`."""
        if self.hooks is None:
            self.hooks = {}
        return self.hooks.setdefault(index, {})

    def tracked(self) -> Iterable[tuple[int, Any, int]]:
        """(argument, parent, slot) of each argument that needs a gradient."""
        mask = self.mask
        for i, parent in enumerate(self.parents):
            if mask >> i & 1:
                yield i, parent, self.slots[i]

    def check_saved(self) -> None:
        """Raise if the saved values are gone or were overwritten."""
        if self.inputs is None:
            raise GraphFreedError(
                f"backward: the values saved by {self.op.name} were freed by an earlier backward "
                "pass; call backward(retain_graph=True) the first time to run it again"
            )
        for i, parent in enumerate(self.parents):
            if isinstance(parent, Tensor) and parent.version is not None:
                self._check_written(parent.version, i)
        for version, i in self.versions or ():
            self._check_written(version, i)

    def _check_written(self, version: Version, i: int) -> None:
        inputs: Any = self.inputs
        if version.written > self.id and not isinstance(inputs[i], Spec | Node | Tensor):
            raise InPlaceError(
                f"backward: argument {i} of {self.op.name}, recorded at {show(self.place)}, was "
                f"overwritten by assign_ at {show(version.place)}; run backward first, or compute "
                "from a .copy()"
            )

    def forget(self) -> None:
        """Free the values. Numbers and Specs of constants stay known: nobody else has them."""
        mask = self.mask
        if mask + 1 != 1 << len(self.parents):
            self.constants = tuple(
                [None if mask >> i & 1 else _known(v) for i, v in enumerate(self.inputs or ())]
            )
        self.inputs = self.outputs = self.residual = self.versions = None

    def __repr__(self) -> str:
        shapes = ", ".join(str(shape) for shape, _ in self.specs)
        return f"<line {self.id}: {self.op.name} -> {shapes}>"


def _known(value: Any) -> Any:
    """What stays known of a constant: its number, or its Spec."""
    return Spec(value.shape, value.dtype) if hasattr(value, "shape") else value


def write(node: Node, out: Any, modes: Modes, depth: int) -> Any:
    """Complete a line. Returns the Tensor of its output, or a tuple of them; integers are cut off.

    What the op, its arguments and the values to be kept are, it says already. The user's call is
    looked for from `depth` calls up.
    """
    node.id = tick()
    node.scope = modes.scope
    node.hooks = node.labels = node.many = None
    try:
        frame = _getframe(depth)
        code = frame.f_code
        node.at = (code, frame.f_lasti) if code.co_filename in OUTSIDE else user_call(frame)
    except ValueError:  # nobody is there: C has called the op
        node.at = None
    if type(out) is tuple:
        node.many = tuple([Spec(o.shape, o.dtype) for o in out])
        return tuple(
            [wrap(o, node, i) if o.dtype.kind in "fV" else wrap(o) for i, o in enumerate(out)]
        )
    node.shape = out.shape
    node.dtype = dtype = out.dtype
    if dtype is not FLOAT32 and dtype.kind not in "fV":
        return wrap(out)
    t = new(Tensor)  # `wrap`, without the call
    t.data = out
    t.node = node
    t.index = 0
    t.requires_grad = True
    t.grad = t.hooks = t.version = t._name = None
    return t


_getframe = sys._getframe
new = Tensor.__new__
FLOAT32 = np.dtype("float32")


def spec_of(t: Tensor) -> Any:
    """What stands for the value of `t` where that is not kept: it has the same shape and dtype."""
    line = t.node
    if line is None:
        return t if t.requires_grad else Spec(t.shape, t.dtype)
    return line if line.many is None else line.many[t.index]


Edge = tuple[Any, int]  # (Node or leaf Tensor, output index)


def edge(t: Tensor) -> Edge:
    """Where the gradient of `t` goes."""
    return (t, 0) if t.node is None else (t.node, t.index)
