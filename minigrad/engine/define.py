"""How ops are declared: `@op`, `@elementwise`, `@fused`, and `@function` for what is no op."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar, overload

from ..backend import NAMESPACES, Array
from ..errors import GradError, MinigradError
from .calls import explained
from .modes import MODES
from .op import Op
from .operators import ops
from .tape import Node

OPS: dict[str, Op] = {}  # every op by name: the table that tests and docs walk


class FusedOp(Op):
    """A kernel that keeps what it needs and gives all gradients at once.

    `kernel(xp, *arrays, keep, **params)` → (outputs, residual). Its composite is its definition,
    its test oracle and its higher derivative.
    """

    fused = True
    _backward: Callable[..., Any]

    def backward(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: `rule(xp, gs, ys, inputs, residual, needs, **params)` → one gradient each."""
        self._backward = rule
        self.rules = ()
        return rule

    def pull(
        self, node: Node, gs: list[Any], wanted: int, create_graph: bool, chosen: Any = None
    ) -> list[Any]:
        if create_graph:
            if self.plain is None:
                raise GradError(
                    f"{self.name}: create_graph needs its composite: the same function written "
                    f"with other ops, declared with @{self.name}.composite"
                )
            return super().pull(node, gs, wanted, create_graph)
        inputs: Any = node.inputs
        g, many = gs[0], node.many is not None
        kind = type(next(g for g in gs if g is not None) if many else g)
        recorder, backward = MODES.get().recorder, self._backward
        if recorder is not None:
            backward = recorder.backward(self)
        grads = backward(
            NAMESPACES[kind],
            tuple(gs) if many else g,
            node.outputs,
            tuple(inputs),
            node.residual,
            _needs(wanted, len(inputs)),
            **node.params,
        )
        if len(grads) != len(inputs):
            raise GradError(
                f"{self.name}: its backward returned {len(grads)} gradients for {len(inputs)} "
                "arguments; give None where there is none"
            )
        if wanted + 1 == 1 << len(grads):
            return list(grads)
        return [grad if wanted >> i & 1 else None for i, grad in enumerate(grads)]

    def keeps(self, mask: int, n: int) -> tuple[bool, tuple[bool, ...]]:
        return True, (True,) * n


@lru_cache
def _needs(wanted: int, n: int) -> tuple[bool, ...]:
    """Which of n arguments have their bit in `wanted`."""
    return tuple([wanted >> i & 1 == 1 for i in range(n)])


F = TypeVar("F", bound=Callable[..., Any])


def _register(new: Op) -> Op:
    own = new.__module__.startswith("minigrad.")
    old = OPS.get(new.name) if own else getattr(ops, new.name, None)
    if old is not None and old.__module__.startswith("minigrad."):
        raise MinigradError(f"@op: {new.name!r} is taken by {old.__module__}; choose another name")
    OPS[new.name] = new
    setattr(ops, new.name, new.short or new)
    return new


@overload
def op(kernel: Callable[..., Any], *, view: bool = False) -> Op: ...
@overload
def op(kernel: None = None, *, view: bool = False) -> Callable[[Callable[..., Any]], Op]: ...
def op(kernel: Callable[..., Any] | None = None, *, view: bool = False) -> Any:
    """Decorator: make an op of a kernel `kernel(xp, *arrays, **params)`.

    `view=True`: the result shares memory with the first argument.

    >>> import minigrad as mg
    >>> @mg.op
    ... def cube(xp, x):
    ...     '''x³, elementwise.'''
    ...     return x * x * x
    >>> cube.defvjp(lambda g, _y, x: g * 3 * x * x)
    >>> x = mg.tensor(2.0, requires_grad=True)
    >>> cube(x).backward()
    >>> x.grad
    tensor(12.)
    """
    if kernel is None:
        return lambda k: _register(Op(k, elementwise=False, view=view))
    return _register(Op(kernel, elementwise=False, view=view))


def elementwise(kernel: Callable[..., Any]) -> Op:
    """`@op` for broadcasting functions: each gradient is summed down to its argument's shape."""
    return _register(Op(kernel, elementwise=True, view=False))


def fused(kernel: Callable[..., Any]) -> FusedOp:
    """`@op` for a kernel with a hand-written backward and a composite; see `FusedOp`."""
    new = FusedOp(kernel, elementwise=False, view=False)
    _register(new)
    return new


def function(f: F) -> F:
    """Decorator: a public function that is no op; Tensor methods find it in the registry."""
    name = f.__name__.strip("_")
    if name not in ("getitem", "setitem"):  # between brackets, and often
        f = explained(f)
    setattr(ops, name, f)
    return f


@op(view=True)
def alias(xp: Any, x: Array) -> Array:
    """The same value as a new line on the tape."""
    return x


alias.defvjp(lambda g, _y, _x: g)
