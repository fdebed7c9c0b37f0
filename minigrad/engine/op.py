"""`@op`: a named forward on arrays, with its derivative rules right below it.

Handed arrays, an op computes and returns arrays. Handed Tensors, it does the same and, if one of
them requires a gradient, records a line on the tape. The rules are written with the same functions,
so one text serves `backward()` (on raw arrays) and `create_graph=True` (on Tensors).
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from ..backend import NAMESPACES, Array
from ..errors import (
    AnomalyError,
    DeviceError,
    DTypeError,
    GradError,
    MinigradError,
    ShapeError,
)
from .modes import MODES, enable_grad, user_place
from .operators import ops
from .tape import Node, edge, pull, tick
from .tensor import Tensor, wrap

OPS: dict[str, Op] = {}  # every op by name: the table that tests and docs walk


class Spec:
    """Shape and dtype of a value that was not kept."""

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape, self.dtype = shape, dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        n = 1
        for length in self.shape:
            n *= length
        return n


class Op:
    """A differentiable function: a stateless kernel and one derivative rule per array argument.

    The kernel is `kernel(xp, *arrays, **params)`: `xp` is the array namespace of the arguments'
    device. Arguments before a `/` (or, without one, all positional ones) are arrays; the rest are
    static parameters.
    """

    fused = False

    def __init__(self, kernel: Callable[..., Any], *, elementwise: bool, view: bool) -> None:
        self.forward = kernel
        self.name = kernel.__name__.strip("_")
        self.__name__ = kernel.__name__
        self.__doc__ = kernel.__doc__
        self.__module__ = kernel.__module__
        self.__wrapped__ = kernel
        parameters = list(inspect.signature(kernel).parameters.values())[1:]
        if self.fused:
            parameters = [p for p in parameters if p.name != "keep"]
        self.__signature__ = inspect.Signature(parameters)
        slash = any(p.kind is p.POSITIONAL_ONLY for p in parameters)
        kind = inspect.Parameter.POSITIONAL_ONLY if slash else inspect.Parameter.POSITIONAL_OR_KEYWORD
        self.arrays = tuple(p.name for p in parameters if p.kind is kind)
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        self.arity = -1 if self.variadic else len(self.arrays)
        self.optional = {p.name: p.default for p in parameters if p.name in self.arrays}
        static = [p for p in parameters if p.name not in self.arrays]
        self.static = tuple(p.name for p in static if p.kind is p.POSITIONAL_OR_KEYWORD)
        self.defaults = {
            p.name: p.default
            for p in static
            if p.default is not p.empty and p.kind is not p.VAR_POSITIONAL
        }
        self.elementwise = elementwise
        self.view = view
        self.rules: tuple[Callable[..., Any] | None, ...] | None = None
        self._composite: Callable[..., Any] | None = None
        self._reads: list[tuple[bool, tuple[bool, ...]]] = []
        self._keeps: dict[tuple[int, int], tuple[bool, tuple[bool, ...]]] = {}

    @property
    def doc(self) -> str:
        """The first line of the docstring."""
        return (self.__doc__ or "").strip().split("\n")[0]

    @property
    def differentiable(self) -> bool:
        return self.rules is not None

    def __repr__(self) -> str:
        return f"<op {self.name}{self.__signature__}>"

    # -- declaring derivatives ---------------------------------------------------------------

    def defvjp(self, *rules: Callable[..., Any] | None) -> None:
        """One rule per array argument: `rule(g, y, *arrays, **params)` → that argument's gradient.

        None: the argument has no gradient (indices, masks). A parameter whose name starts with an
        underscore says that its value is not needed: the tape keeps only its shape and dtype. A
        variadic op has one rule, called with the keyword `i`, the argument's position.
        """
        for rule in rules:
            if rule is None:
                self._reads.append((False, (False,) * max(self.arity, 0)))
                continue
            names = [p.name for p in inspect.signature(rule).parameters.values()]
            read = [not name.startswith("_") for name in names[1 : 2 + max(self.arity, 0)]]
            self._reads.append((read[0], tuple(read[1:])))
        self.rules = rules

    def composite(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: the same function written plainly with other ops."""
        self._composite = function
        return function

    @property
    def plain(self) -> Callable[..., Any] | None:
        """The composite, if there is one."""
        return self._composite

    # -- calling -----------------------------------------------------------------------------

    def __call__(self, *args: Any, **params: Any) -> Any:
        if len(args) != self.arity and self.arity >= 0:
            args, params = self._bind(args, params)
        if self.defaults:
            params = {**self.defaults, **params}
        mask, bit, kind = 0, 1, None
        values = []
        for a in args:
            if isinstance(a, Tensor):
                if a.requires_grad:
                    mask |= bit
                a = a.data
                if kind is not type(a):
                    if kind is not None:
                        raise self._mixed(args)
                    kind = type(a)
            values.append(a)
            bit <<= 1
        if kind is None:
            return self._on_arrays(values, params)
        for i, a in enumerate(values):
            if type(a) is not kind and a is not None and type(a) not in _NUMBERS:
                values[i] = self._operand(a, kind, args)
        modes = MODES.get()
        recording = mask and modes.grad and self.rules is not None
        residual = None
        try:
            if self.fused:
                out, residual = self.forward(
                    NAMESPACES[kind], *values, keep=bool(recording), **params
                )
            else:
                out = self.forward(NAMESPACES[kind], *values, **params)
        except MinigradError:
            raise
        except (ValueError, IndexError, TypeError) as error:
            raise self._explain(error, values, params) from error
        if modes.anomaly:
            self._check_nan(out, values)
        if not recording:
            if type(out) is tuple:
                return tuple([wrap(_array(o)) for o in out])
            t = wrap(out if type(out) is kind else _array(out))
            if self.view and isinstance(args[0], Tensor):
                t.version = args[0].shared_version()
            return t
        return self._record(args, values, params, mask, out, residual, modes.scope)

    def _record(
        self,
        args: tuple[Any, ...],
        values: list[Any],
        params: dict[str, Any],
        mask: int,
        out: Any,
        residual: Any,
        scope: tuple[str, ...],
    ) -> Any:
        keep_y, keeps = self._keeps.get((mask, len(args))) or self._keep(mask, len(args))
        parents: list[Any] = []
        slots = []
        versions = None
        for i, a in enumerate(args):
            if not isinstance(a, Tensor):
                parents.append(None)
                slots.append(0)
                if not keeps[i] and type(values[i]) in NAMESPACES:
                    values[i] = (values[i].shape, values[i].dtype)
                continue
            slots.append(a.index)
            parents.append((a.node or a) if a.requires_grad else weakref.ref(a))
            if not keeps[i]:
                values[i] = (values[i].shape, values[i].dtype)
            else:
                version = a.version or a.shared_version()
                if version is not None:
                    versions = versions or []
                    versions.append((version, version.count, i))
        node = Node()
        node.op = self
        node.params = params
        node.parents = tuple(parents)
        node.slots = tuple(slots)
        node.mask = mask
        node.inputs = values
        node.residual = residual
        node.versions = versions
        node.hooks = node.labels = None
        node.id = tick()
        node.scope = scope
        node.place = user_place()
        if type(out) is tuple:
            out = tuple([_array(o) for o in out])
            node.specs = tuple([(o.shape, o.dtype) for o in out])
            node.outputs = out if keep_y else None
            return tuple(
                [wrap(o, node, i) if o.dtype.kind in "fV" else wrap(o) for i, o in enumerate(out)]
            )
        if type(out) not in NAMESPACES or isinstance(out, np.generic):
            out = _array(out)
        dtype = out.dtype
        node.specs = ((out.shape, dtype),)
        node.outputs = out if keep_y else None
        t = wrap(out, node) if dtype.kind in "fV" else wrap(out)
        if self.view:
            t.version = args[0].shared_version()
        return t

    def _on_arrays(self, values: list[Any], params: dict[str, Any]) -> Any:
        xp = np
        for a in values:
            if type(a) in NAMESPACES:
                xp = NAMESPACES[type(a)]
                if type(a) is not np.ndarray:
                    break
        if self.fused:
            return self.forward(xp, *values, keep=False, **params)[0]
        return self.forward(xp, *values, **params)

    # -- differentiating -----------------------------------------------------------------------

    def pull(self, node: Node, gs: list[Any], wanted: int, create_graph: bool) -> list[Any]:
        """Gradients of the node's arguments (None where `wanted` has no bit)."""
        if create_graph and self._composite is not None:
            return self._pull_composite(node, gs, wanted)
        assert self.rules is not None and node.inputs is not None
        many = len(gs) > 1 or self._is_tuple(node)
        outputs: Any = node.outputs
        if many:
            gs = [_zeros(node, i, create_graph) if g is None else g for i, g in enumerate(gs)]
            g: Any = tuple(gs)
        else:
            g = gs[0]
        inputs, outputs = self._saved(node, create_graph)
        grads: list[Any] = [None] * len(inputs)
        for i in range(len(inputs)):
            if wanted >> i & 1:
                if self.variadic:
                    grad = self.rules[0](g, outputs, *inputs, i=i, **node.params)  # type: ignore[misc]
                else:
                    rule = self.rules[i]
                    if rule is None:
                        continue
                    grad = rule(g, outputs, *inputs, **node.params)
                grads[i] = self._fit(grad, inputs[i])
        return grads

    def _is_tuple(self, node: Node) -> bool:
        return type(node.outputs) is tuple

    def _saved(self, node: Node, create_graph: bool) -> tuple[list[Any], Any]:
        """Inputs and outputs for the rules: arrays, or Tensors on the tape when `create_graph`."""
        inputs = [Spec(*v) if type(v) is tuple else v for v in node.inputs or ()]
        outputs = node.outputs
        if outputs is None:
            specs = [Spec(*s) for s in node.specs]
            outputs = specs[0] if len(specs) == 1 else tuple(specs)
            if not create_graph:
                return inputs, outputs
        elif not create_graph:
            return inputs, outputs
        for i, value in enumerate(inputs):
            if type(value) not in NAMESPACES:
                continue
            parent = node.parents[i]
            if isinstance(parent, Node):
                inputs[i] = wrap(value, parent, node.slots[i])
            else:
                inputs[i] = parent if isinstance(parent, Tensor) else wrap(value)
        if node.outputs is not None:
            if type(outputs) is tuple:
                outputs = tuple(wrap(o, node, i) for i, o in enumerate(outputs))
            else:
                outputs = wrap(outputs, node)
        return inputs, outputs

    def _fit(self, grad: Any, x: Any) -> Any:
        """The rule's result in the argument's shape and dtype."""
        if grad is None:
            return None
        if self.elementwise and grad.shape != x.shape:
            grad = ops.sum_to(grad, x.shape)
        if grad.dtype != x.dtype:
            grad = grad.astype(x.dtype)
        if isinstance(grad, np.generic):
            grad = np.asarray(grad)
        if grad.shape != x.shape:
            raise GradError(
                f"{self.name}: a derivative rule returned shape {grad.shape} "
                f"for an argument of shape {x.shape}"
            )
        return grad

    def _pull_composite(self, node: Node, gs: list[Any], wanted: int) -> list[Any]:
        assert self._composite is not None
        inputs, _ = self._saved(node, True)
        start = tick()
        with enable_grad():
            # An alias per argument: each gets its own gradient, also if two are the same Tensor.
            inputs = [
                alias(x) if node.mask >> i & 1 else x for i, x in enumerate(inputs)
            ]
            out = self._composite(*inputs, **node.params)
        outs = out if type(out) is tuple else (out,)
        roots = [
            (edge(o), g)
            for o, g in zip(outs, gs, strict=True)
            if g is not None and o.requires_grad
        ]
        keys = {i: edge(x) for i, x in enumerate(inputs) if wanted >> i & 1}
        found = pull(roots, targets=set(keys.values()), retain_graph=True, create_graph=True, since=start)
        return [found.get(keys[i]) if i in keys else None for i in range(len(inputs))]

    # -- details -------------------------------------------------------------------------------

    def _keep(self, mask: int, n: int) -> tuple[bool, tuple[bool, ...]]:
        """Which values the rules need when the arguments in `mask` are differentiated."""
        if self._composite is not None and not self._reads:
            keep: tuple[bool, tuple[bool, ...]] = (True, (True,) * n)
        elif self.variadic:
            y = self._reads[0][0]
            keep = (y, (self._composite is not None,) * n)
        else:
            reads = [self._reads[i] for i in range(n) if mask >> i & 1]
            every = self._composite is not None  # the composite recomputes from the inputs
            keep = (
                any(y for y, _ in reads),
                tuple(every or any(xs[i] for _, xs in reads if i < len(xs)) for i in range(n)),
            )
        self._keeps[mask, n] = keep
        return keep

    def _bind(
        self, args: tuple[Any, ...], params: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        arrays, rest = list(args[: self.arity]), args[self.arity :]
        for name in self.arrays[len(arrays) :]:
            if name in params:
                arrays.append(params.pop(name))
            elif self.optional[name] is not inspect.Parameter.empty:
                arrays.append(self.optional[name])
            else:
                raise TypeError(f"{self.name}{self.__signature__}: argument {name!r} is missing")
        if len(rest) > len(self.static):
            raise TypeError(
                f"{self.name}{self.__signature__}: got {len(args)} positional arguments"
            )
        for name, value in zip(self.static, rest, strict=False):
            if name in params:
                raise TypeError(f"{self.name}: argument {name!r} is given twice")
            params[name] = value
        return tuple(arrays), params

    def _operand(self, a: Any, kind: type, args: tuple[Any, ...]) -> Any:
        """A non-Tensor operand beside Tensors: a number, or an array of the same device."""
        if isinstance(a, np.generic):
            return a.item()  # NumPy scalars do not promote either
        if type(a) in NAMESPACES:
            raise self._mixed(args)
        if isinstance(a, int | float):
            return a
        raise DTypeError(
            f"{self.name}: cannot use {type(a).__name__} beside a tensor; "
            "wrap it with mg.asarray or give a number"
        )

    def _mixed(self, args: tuple[Any, ...]) -> DeviceError:
        where = [
            str(a.device) if isinstance(a, Tensor) else type(a).__name__
            for a in args
            if not isinstance(a, int | float)
        ]
        return DeviceError(
            f"{self.name}: arguments on different devices ({', '.join(where)}); "
            "move one with .to(device): nothing is moved silently"
        )

    def _explain(
        self, error: Exception, values: list[Any], params: dict[str, Any]
    ) -> Exception:
        shapes = ", ".join(
            f"{v.dtype}{v.shape}" if hasattr(v, "dtype") else repr(v) for v in values[:8]
        )
        extra = "".join(f", {k}={v!r}" for k, v in params.items())
        text = f"{self.name}({shapes}{extra}): {error}"
        if isinstance(error, TypeError):
            return DTypeError(text)
        return ShapeError(text) if isinstance(error, ValueError) else error

    def _check_nan(self, out: Any, values: list[Any]) -> None:
        for o in out if type(out) is tuple else (out,):
            if hasattr(o, "dtype") and o.dtype.kind == "f" and bool((o != o).any()):
                given = ", ".join(str(getattr(v, "shape", v)) for v in values)
                place = user_place()
                raise AnomalyError(
                    f"{self.name} made the first NaN, from ({given}), at "
                    f"{place[0]}:{place[1]}" if place else f"{self.name} made the first NaN"
                )


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

    def pull(self, node: Node, gs: list[Any], wanted: int, create_graph: bool) -> list[Any]:
        if create_graph:
            return self._pull_composite(node, gs, wanted)
        assert node.inputs is not None
        single = type(node.outputs) is not tuple
        needs = tuple(bool(wanted >> i & 1) for i in range(len(node.inputs)))
        xp = next(NAMESPACES[type(g)] for g in gs if g is not None)
        grads = self._backward(
            xp,
            gs[0] if single else tuple(gs),
            node.outputs,
            tuple(node.inputs),
            node.residual,
            needs,
            **node.params,
        )
        return [
            self._fit(grad, x) if need else None
            for grad, x, need in zip(grads, node.inputs, needs, strict=True)
        ]


F = TypeVar("F", bound=Callable[..., Any])


def _register(op: Op) -> Op:
    if op.name in OPS and OPS[op.name].__module__ != op.__module__:
        raise MinigradError(f"@op: {op.name!r} is already defined in {OPS[op.name].__module__}")
    OPS[op.name] = op
    setattr(ops, op.name, op)
    return op


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
    return _register(FusedOp(kernel, elementwise=False, view=False))  # type: ignore[return-value]


def function(f: F) -> F:
    """Decorator: a public function that is no op; Tensor methods find it in the registry."""
    setattr(ops, f.__name__.strip("_"), f)
    return f


def _array(out: Any) -> Array:
    return out if type(out) in NAMESPACES and not isinstance(out, np.generic) else np.asarray(out)


def _zeros(node: Node, i: int, create_graph: bool) -> Any:
    values = [v for v in node.inputs or () if type(v) in NAMESPACES]
    xp = NAMESPACES[type(values[0])] if values else np
    zeros = xp.zeros(node.specs[i][0], dtype=node.specs[i][1])
    return wrap(zeros) if create_graph else zeros


_NUMBERS = {bool, int, float}


@op(view=True)
def alias(xp: Any, x: Array) -> Array:
    """The same value as a new line on the tape."""
    return x


alias.defvjp(lambda g, _y, _x: g)
