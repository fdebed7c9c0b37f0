"""`Op`: a named forward on arrays, with its derivative rules. `define.py` has the decorators.

Handed arrays, an op computes and returns arrays. Handed Tensors, it does the same and, if one of
them requires a gradient, records a line on the tape. The rules are written with the same functions,
so one text serves `backward()` (on raw arrays) and `create_graph=True` (on Tensors).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any
from weakref import ref

import numpy as np

from ..backend import NAMESPACES
from ..errors import ArgumentError, MinigradError
from .calls import no_array, wrong_arguments
from .complain import check_nan, explain, operands, together
from .derive import pull_rules
from .modes import MODES, Modes
from .short import arrays, short
from .tape import Node, spec_of, write
from .tensor import Tensor, Version, wrap


class _Called:
    """An object whose call is an attribute of its own."""

    __slots__ = ("__call__",)

    __call__: Callable[..., Any]


class Op(_Called):
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
        parameters = [p for p in parameters if not (self.fused and p.name == "keep")]
        self.__signature__ = inspect.Signature(parameters)
        slash = any(p.kind is p.POSITIONAL_ONLY for p in parameters)
        kind = (
            inspect.Parameter.POSITIONAL_ONLY if slash else inspect.Parameter.POSITIONAL_OR_KEYWORD
        )
        self.arrays = {p.name: p.default for p in parameters if p.kind is kind}
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        self.arity = -1 if self.variadic else len(self.arrays)
        static = [p for p in parameters if p.kind not in (kind, p.VAR_POSITIONAL)]
        self.static = [p.name for p in static if p.kind is p.POSITIONAL_OR_KEYWORD]
        self.defaults = {p.name: p.default for p in static if p.default is not p.empty}
        self.elementwise = elementwise
        self.view = view
        self.rules: tuple[Callable[..., Any] | None, ...] | None = None
        self.plain: Callable[..., Any] | None = None  # the composite
        self.choices: tuple[Callable[..., Any] | None, ...] | None = None
        self.chooses = False
        self.adds: Callable[..., None] | None = None
        self._reads: list[tuple[bool, ...]] = []  # per rule: does it read y, and each argument?
        self._keeps: dict[int, tuple[bool, tuple[bool, ...]]] = {}
        self.short = short(self)
        self.__call__ = self.short or self.general

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
        if len(rules) != (1 if self.variadic else self.arity):
            raise TypeError(f"{self.name}.defvjp: one rule per array argument, {self.arity} in all")
        for rule in rules:
            names = list(inspect.signature(rule).parameters) if rule else []
            self._reads.append(
                tuple(not n.startswith("_") for n in names[1 : 2 + len(self.arrays)])
            )
        self.rules = rules

    def defchoice(self, *rules: Callable[..., Any] | None, begins: bool = True) -> None:
        """One rule per array argument: `rule(chosen, shape, *arrays, **params)` → a mask.

        Says which elements of that argument, whose shape is `shape`, went into the chosen elements
        of the result; `chosen` is a mask of the result, or True for all of it. None: all elements
        did. An op that only rearranges says `begins=False`: its rules run for masks that come in.
        """
        self.choices, self.chooses = rules, begins

    def defadd(self, rule: Callable[..., None]) -> Callable[..., None]:
        """Decorator: `rule(total, g, **params)` adds the argument's gradient to the array `total`.

        For an op of one argument whose gradient is zeros but for a part: a sum of T of them writes
        T parts, not T wholes.
        """
        self.adds = rule
        return rule

    def multiplies(self, i: int) -> bool:
        """Whether the rule of argument i reads values, so that it may make 0 · ∞."""
        return self.elementwise and any(self._reads[i])

    def composite(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: the same function written plainly with other ops."""
        self.plain = function
        return function

    # -- calling -----------------------------------------------------------------------------

    def general(self, *args: Any, **params: Any) -> Any:
        """The call, whatever the arguments are."""
        if len(args) != self.arity and self.arity >= 0:
            args, params = self._bind(args, params)
        if self.defaults:
            params = {**self.defaults, **params}
        modes = MODES.get()
        forward = self.forward
        if not modes.unwatched:
            if modes.recorder is not None:
                args = tuple(map(modes.recorder.lift, args))
                forward = modes.recorder.forward(self)
            else:
                forward = modes.profiler.forward(self)
        mask, bit, kind, foreign = 0, 1, None, False
        values = []
        for a in args:
            if isinstance(a, Tensor):
                if a.requires_grad:
                    mask |= bit
                a = a.data
                if kind is not type(a):
                    if kind is not None:
                        return self.general(*together(self, args), **params)
                    kind = type(a)
            elif type(a) not in _PLAIN:
                foreign = True
            values.append(a)
            bit <<= 1
        if kind is None:
            return self._on_arrays(values, params)
        if foreign:
            values = operands(self, values, args, kind)
        recording = mask and modes.grad and self.rules is not None
        residual = None
        try:
            if self.fused:
                out, residual = forward(NAMESPACES[kind], *values, keep=bool(recording), **params)
            elif params:
                out = forward(NAMESPACES[kind], *values, **params)
            else:
                out = forward(NAMESPACES[kind], *values)
        except MinigradError:
            raise
        except (ValueError, TypeError, IndexError) as error:
            raise explain(self, error, values, params) from error
        if modes.anomaly:
            check_nan(self, out, values)
        if type(out) is not kind:
            out = arrays(out)
        if recording:
            return self._record(args, values, params, mask, out, residual, modes)
        t: Any = tuple([wrap(o) for o in out]) if type(out) is tuple else wrap(out)
        return self._share(t, args[0]) if self.view else t

    def _share(self, result: Any, x: Any) -> Any:
        """A view: writes into the memory of x are writes into the result."""
        if isinstance(x, Tensor):
            for t in result if type(result) is tuple else (result,):
                t.version = x.shared_version()
        return result

    def _record(
        self,
        args: tuple[Any, ...],
        values: list[Any],
        params: dict[str, Any],
        mask: int,
        out: Any,
        residual: Any,
        modes: Modes,
    ) -> Any:
        """Write the line: what the rules will need, and where it came from."""
        keep_y, keeps = self.keeps(mask, len(args))
        parents: list[Any] = [None] * len(args)
        slots = [0] * len(args)
        versions: list[tuple[Version, int]] | None = None
        for i, a in enumerate(args):
            if isinstance(a, Tensor):
                line, slots[i] = a.node, a.index
                parents[i] = (line or a) if a.requires_grad else ref(a)
                if not keeps[i]:
                    values[i] = spec_of(a)
                elif not a.requires_grad or (line is not None and a.version is not None):
                    versions = [*(versions or ()), (a.shared_version(), i)]
        node = Node()
        node.op, node.params, node.parents, node.slots = self, params, parents, slots
        node.mask, node.inputs, node.outputs = mask, values, out if keep_y else None
        node.residual, node.versions = residual, versions
        t = write(node, out, modes, 3)
        return self._share(t, args[0]) if self.view else t

    def _on_arrays(self, values: list[Any], params: dict[str, Any]) -> Any:
        xp, forward, recorder = np, self.forward, MODES.get().recorder
        if recorder is not None:
            values, forward = [recorder.lift(v) for v in values], recorder.forward(self)
        for a in values:
            if type(a) in _NO_ARRAYS:
                raise no_array(self.name, a)
            xp = NAMESPACES.get(type(a), xp)
            if xp is not np:
                lift = getattr(xp, "lift", None)  # examples of a vmap, among what they share
                values = values if lift is None else [lift(v) for v in values]
                break
        try:
            if self.fused:
                return forward(xp, *values, keep=False, **params)[0]
            return forward(xp, *values, **params)
        except MinigradError:
            raise
        except (ValueError, TypeError, IndexError, AttributeError) as error:
            raise explain(self, error, values, params) from error

    pull = pull_rules

    def keeps(self, mask: int, n: int) -> tuple[bool, tuple[bool, ...]]:
        """Whether the rules of the arguments in `mask` need the result, and each argument."""
        return self._keeps.get(mask) or self._keep(mask, n)

    def _keep(self, mask: int, n: int) -> tuple[bool, tuple[bool, ...]]:
        if self.plain is not None:
            return True, (True,) * n  # the composite recomputes from the inputs
        if self.variadic:
            return self._reads[0][0], (len(self._reads[0]) > 1 and self._reads[0][1],) * n
        reads = [self._reads[i] for i in range(n) if mask >> i & 1 and self._reads[i]]
        keep = any(r[0] for r in reads), tuple(any(r[i + 1] for r in reads) for i in range(n))
        self._keeps[mask] = keep
        return keep

    def _bind(
        self, args: tuple[Any, ...], params: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Sort the call's arguments into arrays and static parameters."""
        arrays, rest = list(args[: self.arity]), args[self.arity :]
        for name in list(self.arrays)[len(arrays) :]:
            if name in params:
                arrays.append(params.pop(name))
            elif self.arrays[name] is not inspect.Parameter.empty:
                arrays.append(self.arrays[name])
            else:
                raise wrong_arguments(
                    self.name, self.__signature__, params, f"the argument {name!r} is missing"
                )
        if len(rest) > len(self.static):
            raise wrong_arguments(
                self.name, self.__signature__, (), f"got {len(args)} positional arguments"
            )
        for name, value in zip(self.static, rest, strict=False):
            if name in params:
                raise ArgumentError(f"{self.name}: argument {name!r} is given twice")
            params[name] = value
        return tuple(arrays), params


_PLAIN = {bool, int, float, type(None)}
_NO_ARRAYS = {str, bytes, list, tuple, dict, set}
