"""`Recorder`: writes down what a step does, call by call, while the step runs.

Tensors that the step meets get stand-in arrays for their data, and every kernel, rule and update
runs on those: what reaches NumPy is a line of the program. A kernel that looks at values, and so
cannot be followed, is one line: it is called whole in each replay.
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import partial
from types import CodeType
from typing import Any

import numpy as np

from ...backend import device, instead, threads
from ...errors import CompileError
from ..modes import Place, place, switched, user_frame
from ..recording import Moment
from ..tensor import Tensor
from . import calls
from .conditions import Conditions
from .line import Line
from .memory import Cell, Host, Memory, Ref, Usage, leaves, mapped, place_in, root
from .standin import StandIn, Untraceable
from .whole import call_whole, refs, values


class Recorder:
    """The lines recorded so far, and what they are about.

    Attributes:
        lines: the program.
        lifted: the Tensors whose data are stand-ins now, with their arrays and gradients before.
        refreshers: what to call before each replay.
        conditions: what the program is recorded under.
        usage: the memory that the run takes, as eager would.
    """

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.lifted: dict[int, tuple[Tensor, Host, Any]] = {}
        self.refreshers: list[Callable[[], None]] = []
        self.conditions = Conditions()
        self.usage = Usage()
        self.op = ""
        self.at: tuple[CodeType, int] | None = None
        self._given: dict[int, Memory] = {}
        self._made: dict[int, tuple[weakref.ref[Host], Memory]] = {}
        self._standins: weakref.WeakValueDictionary[int, StandIn] = weakref.WeakValueDictionary()
        self._tuples: dict[Any, Any] = {}  # shapes and strides, and places in the user's code

    # -- Tensors and arrays ------------------------------------------------------------------

    def lift(self, value: Any) -> Any:
        """`value` with stand-ins: a Tensor gets one for its data, an array becomes one."""
        if isinstance(value, Tensor):
            if type(value.data) is np.ndarray:
                self.lifted[id(value)] = value, value.data, value.grad
                value.data = self.array(value.data)
            return value
        return self.array(value) if type(value) is np.ndarray else value

    def check_fresh(self, grad: Tensor) -> None:
        """Raise for a gradient from before the program: a replay would add to it once only."""
        if type(grad.data) is np.ndarray:
            raise CompileError(
                "compile: a .grad from before the compiled function would be added to; call "
                "zero_grad() inside it, before backward"
            )

    def array(self, array: Host, *, constant: bool = False) -> StandIn:
        """The stand-in of an array that nothing recorded has made."""
        owner = root(array)
        made = self._made.get(id(owner))
        if made is not None and made[0]() is owner:
            return self.standin(array, made[1])
        memory = self._given.get(id(owner))
        if memory is None:
            memory = self._given[id(owner)] = Memory(owner.nbytes, owner)
        memory.constant |= constant
        return self.standin(array, memory)

    def made(self, array: Host) -> StandIn:
        """The stand-in of a new array; each replay makes it again."""
        owner = root(array)
        memory = Memory(owner.nbytes)
        self._made[id(owner)] = self.usage.count(owner), memory
        return self.standin(array, memory)

    def standin(self, array: Host, memory: Memory) -> StandIn:
        """A stand-in of an array in known memory."""
        ref, known = place_in(memory, array), self._tuples.setdefault
        shape, strides = known(ref.shape, ref.shape), known(ref.strides, ref.strides)
        new = StandIn(self, array, ref._replace(shape=shape, strides=strides))
        self._standins[id(new)] = new
        return new

    def last_place(self) -> Place | None:
        """Where the user's code was when the last line was written."""
        return place(self.at) if self.at else None

    def alive(self) -> list[StandIn]:
        """The stand-ins that somebody still holds."""
        return list(self._standins.values())

    # -- recording ---------------------------------------------------------------------------

    def call(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call of NumPy: do it, and write it down."""
        function = calls.plain(function)
        args, kwargs = mapped(args, self.lift), mapped(kwargs, self.lift)
        raw, named = values(args), values(kwargs)
        if function in calls.STATIC:
            return function(*raw, **named)
        _check(function, args)
        inputs = [s for s in leaves((args, kwargs)) if type(s) is StandIn]
        written = self._written(function, args, kwargs)
        for target in written:
            if target.ref.memory.constant:
                raise Untraceable("a constant array is written to")
        result = function(*raw, **named)
        if written:
            if isinstance(function, np.ufunc):
                args = (*calls.numbered(refs(args[: function.nin])), *written)
                kwargs = {k: v for k, v in kwargs.items() if k != "out"}
            self.line(function, refs(args), refs(kwargs), written)
            return None if result is None else written[0] if len(written) == 1 else written
        return self._results(function, args, kwargs, result, inputs)

    def _written(
        self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[StandIn, ...]:
        """The arrays that a call writes into."""
        out = kwargs.get("out")
        if isinstance(function, np.ufunc) and len(args) > function.nin:
            out = args[function.nin :]
        elif function in calls.WRITERS or getattr(function, "__name__", "") == "at":
            out = args[0]
        elif calls.owner_of(function) is not None and len(args) > 3:
            out = args[3]  # reduce(array, axis, dtype, out)
        outs = out if type(out) is tuple else (out,)
        return tuple(o for o in outs if o is not None)

    def _results(
        self,
        function: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        result: Any,
        inputs: list[StandIn],
    ) -> Any:
        """Views of the inputs, and new arrays with the lines that make them."""
        several = isinstance(result, tuple | list)
        roots = {id(root(s.value)): s.ref.memory for s in inputs}
        found: list[StandIn] = []
        new: list[Ref | None] = []
        for value in result if several else (result,):
            if not isinstance(value, np.ndarray | np.generic):
                raise Untraceable(f"{function.__name__} returns a {type(value).__name__}")
            array = np.asarray(value)
            memory = roots.get(id(root(array)))
            if memory is not None:
                found.append(self.standin(array, memory))
                new.append(None)
            else:
                found.append(self.made(array))
                new.append(found[-1].ref)
        if any(ref is not None for ref in new):
            out = tuple(new) if several else new[0]
            kwargs = {k: v for k, v in kwargs.items() if k != "out"}
            for each in calls.lowered(function, refs(args), refs(kwargs), out):
                self.line(*each, [s for s, ref in zip(found, new, strict=True) if ref])
        return (
            type(result)(found)
            if several and type(result) in (tuple, list)
            else (tuple(found) if several else found[0])
        )

    def line(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        written: Sequence[StandIn],
        *,
        effect: bool = False,
    ) -> None:
        """Write a line."""
        touched = [ref.memory for ref in leaves((args, kwargs)) if type(ref) is Ref]
        writes = [s.ref.memory for s in written]
        self.at = user_frame(3)
        if self.at is not None:
            self.at = self._tuples.setdefault((id(self.at[0]), self.at[1]), self.at)
        self.lines.append(Line(function, args, kwargs, touched, writes, self.op, self.at, effect))

    def assign(self, target: StandIn, index: Any, value: Any) -> None:
        """`target[index] = value`."""
        if target.ref.memory.constant:
            raise Untraceable("a constant array is written to")
        index, value = mapped(index, self.lift), self.lift(value)
        target.value[values(index)] = values(value)
        key = index if type(index) is tuple else (index,)
        if all(k is None or k is ... or type(k) in (int, slice) for k in key):
            part = target.value[index if ... in key else (*key, ...)]
            ref, place_at = self.standin(part, target.ref.memory).ref, ...
        else:
            ref, place_at = target.ref, refs(index)
        self.line(operator.setitem, (ref, place_at, refs(value)), {}, [target])

    def draw(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> StandIn:
        """A draw from the CPU's random stream; each replay draws anew."""
        with instead(None):
            function = getattr(device("cpu").rng, name)
        result = self.made(function(*args, **kwargs))
        self.line(calls.store, (function, result.ref, args, kwargs), {}, [result], effect=True)
        return result

    # -- kernels -----------------------------------------------------------------------------

    def forward(self, op: Any) -> Callable[..., Any]:
        """The kernel of `op`, followed or called whole."""

        def kernel(xp: Any, *values: Any, **params: Any) -> Any:
            return self.run(op.name, op.forward, (xp, *values), params, fused=op.fused)

        return kernel

    def backward(self, op: Any) -> Callable[..., Any]:
        """The backward kernel of the fused `op`, followed or called whole."""

        def kernel(xp: Any, *values: Any, **params: Any) -> Any:
            return self.run(f"{op.name} backward", op._backward, (xp, *values), params)

        return kernel

    def run(
        self,
        name: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        fused: bool = False,
    ) -> Any:
        """`function(*args, **kwargs)`, followed if it can be, else called whole in each replay.

        `fused`: the second of its two results is its own business, and need not be arrays.
        """
        outer, self.op = self.op, name
        args = mapped(args, self.lift)
        mark = len(self.lines)
        try:
            if not any(type(v) is StandIn for v in leaves(kwargs)) and not any(
                type(v) is Cell for v in leaves(args)
            ):
                try:
                    return function(*args, **kwargs)
                except Untraceable:
                    del self.lines[mark:]
            return call_whole(self, function, args, mapped(kwargs, self.lift), fused)
        finally:
            self.op = outer

    def kernel(
        self, function: Callable[..., Any], args: tuple[Any, ...], params: dict[str, Any]
    ) -> Any:
        """Code on arrays that is no op."""
        return self.run(function.__name__.strip("_"), function, args, params)

    def primitive(
        self, function: Callable[..., Any], args: tuple[Any, ...], writes: tuple[int, ...]
    ) -> None:
        """Code that NumPy does not see."""
        args = mapped(args, self.lift)
        written = [args[i] for i in writes]
        if any(target.ref.memory.constant for target in written):
            raise Untraceable("a constant array is written to")
        function(*values(args))
        self.line(function, refs(args), {}, written)

    def examine(self, look: Callable[..., None], args: tuple[Any, ...]) -> None:
        """Look at values now, and in each replay."""
        args = mapped(args, self.lift)
        with switched(recorder=None), instead(None):
            look(*values(args))
        self.line(look, refs(args), {}, [], effect=True)

    def note(self, moment: Moment) -> None:
        """Look where the random stream stands, now and in each replay."""
        self.examine(moment.read, ())

    def rewind(self, moment: Moment) -> None:
        """Draw again from there, now and in each replay."""
        self.examine(moment.write, ())

    def before_replay(self, refresh: Callable[[], None]) -> None:
        """Call `refresh` now, and before each replay."""
        with switched(recorder=None), instead(None):
            refresh()
        self.refreshers.append(refresh)

    def fork(self, branches: Sequence[Callable[[], Any]]) -> list[Any]:
        """Record independent functions one after the other; replays run them on threads.

        A fork in a branch, or where there is one thread, is no fork: see `threads.run`.
        """
        self.conditions.guard("threads", threads.get_num_threads)
        if len(branches) < 2 or not threads.forks():
            return [copy_context().run(branch) for branch in branches]
        parts: list[list[Line]] = []
        outer = self.lines

        def run(branch: Callable[[], Any]) -> Any:
            lines: list[Line] = []
            parts.append(lines)
            self.lines = lines
            return copy_context().run(branch)

        runs = [partial(run, branch) for branch in branches]
        try:
            with threads.branching():
                results = self.usage.beside(runs, threads.get_num_threads())
        finally:
            self.lines = outer
        reads = [m for part in parts for each in part for m in each.reads]
        writes = [m for part in parts for each in part for m in each.writes]
        at = user_frame(3)
        self.lines.append(Line(_fork, (), {}, reads, writes, "fork", at, branches=parts))
        return results


def _fork() -> None:
    """What a line with branches calls."""


def _check(function: Any, args: tuple[Any, ...]) -> None:
    """Raise Untraceable for what depends on values."""
    if function in calls.DATA_DEPENDENT or (function is np.where and len(args) == 1):
        raise Untraceable(f"{function.__name__}: its result has a shape that depends on values")
    if function is operator.getitem:
        for part in args[1] if type(args[1]) is tuple else (args[1],):
            if type(part) is StandIn and part.dtype == bool:
                raise Untraceable("a mask as index: the result has a shape that depends on values")
