"""`compile`: record a function of Tensors once for each kind of arguments, then replay it."""

from __future__ import annotations

import functools
import gc
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

import numpy as np

from ...backend import Instead, instead
from ...errors import CompileError, ConfigError
from ..modes import MODES, show, switched
from ..tensor import Tensor, wrap
from .memory import Host, mapped
from .namespace import NAMESPACE, STREAM, install
from .program import Program
from .recorder import Recorder
from .standin import StandIn, Untraceable

P = ParamSpec("P")
R = TypeVar("R")
log = logging.getLogger("minigrad.compile")


class Compiled(Generic[P, R]):
    """A function that replays programs; `compile` makes it.

    Attributes:
        programs: the recorded programs, least recently used first, by what they were recorded for.
    """

    def __init__(self, function: Callable[P, R], limit: int) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.limit = limit
        self.programs: OrderedDict[Any, _Recorded] = OrderedDict()
        self._name = getattr(function, "__qualname__", type(function).__name__)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        modes = MODES.get()
        if modes.recorder is not None:
            return self.function(*args, **kwargs)  # a part of the program around it
        arrays: list[Host] = []
        key: Any = [modes.grad]
        for value in args:
            if type(value) is Tensor and value.node is None and not value.requires_grad:
                array = value.data  # the usual argument, the short way
                if type(array) is np.ndarray:
                    arrays.append(array)
                    key += array.shape, array.dtype.num
                    continue
            key.append(_signature(value, arrays))
        key = (*key, _signature(kwargs, arrays)) if kwargs else tuple(key)
        try:
            recorded = self.programs.get(key)
        except TypeError:
            raise CompileError(f"compile: {self._name} got an argument without a hash") from None
        if recorded is None or not recorded.program.valid():
            return self._record(key, args, kwargs)
        if len(self.programs) > 1:
            self.programs.move_to_end(key)
        with recorded.program.lock:
            return recorded.replay(arrays)

    def _record(self, key: Any, args: Any, kwargs: Any) -> Any:
        if self.programs:
            log.info("%s: recording program %d", self._name, len(self.programs) + 1)
        result, recorded = _record(self.function, self._name, args, kwargs)
        self.programs[key] = recorded
        self.programs.move_to_end(key)
        if len(self.programs) > self.limit:
            self.programs.popitem(last=False)
            log.warning(
                "%s has been recorded for more than %d kinds of arguments: the oldest program is "
                "dropped. Give arguments of few shapes, and numbers that change as Tensors",
                self._name,
                self.limit,
            )
        return result

    @property
    def program(self) -> Program:
        """The program recorded last."""
        if not self.programs:
            raise CompileError(f"compile: {self._name} has not been called yet")
        return next(reversed(self.programs.values())).program

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __repr__(self) -> str:
        return f"<compiled {self._name}: {len(self.programs)} programs>"


class _Recorded:
    """A program with its way in and out."""

    def __init__(
        self,
        program: Program,
        inputs: list[Host],
        outputs: Any,
        grads: list[tuple[Tensor, Tensor | None]],
    ) -> None:
        self.program, self.inputs, self.outputs, self.grads = program, inputs, outputs, grads
        self.flat = type(outputs) is tuple and all(type(out) is _Output for out in outputs)

    def replay(self, arrays: list[Host]) -> Any:
        """Run the program on `arrays`."""
        for place, array in zip(self.inputs, arrays, strict=True):
            place[...] = array
        self.program.run()
        for leaf, grad in self.grads:
            leaf.grad = grad
        if self.flat:
            return tuple([out() for out in self.outputs])
        return mapped(self.outputs, _opened)


class _Output:
    """An output of the program: a fresh copy for each call."""

    def __init__(self, view: Host, as_tensor: bool) -> None:
        self.view, self.as_tensor = view, as_tensor

    def __call__(self) -> Any:
        copy = self.view.copy()
        return wrap(copy) if self.as_tensor else copy


def _opened(leaf: Any) -> Any:
    return leaf() if type(leaf) is _Output else leaf


def _signature(value: Any, arrays: list[Host]) -> Any:
    """What a program is recorded for: shapes and dtypes of arrays, and all else as it is."""
    if isinstance(value, Tensor):
        if value.node is not None:
            raise CompileError(
                f"compile: an argument is the result of {value.node.op.name}, recorded outside; "
                "give .detach(), or compute it inside"
            )
        if value.requires_grad:
            return value  # state: this very Tensor, read and written in place
        if type(value.data) is not np.ndarray:
            raise CompileError(f"compile: an argument is on {value.device}, expected the CPU")
        arrays.append(value.data)
        return value.data.shape, value.data.dtype.num
    kind = type(value)
    if kind is np.ndarray:
        arrays.append(value)
        return kind, value.shape, value.dtype
    if kind is tuple or kind is list:
        return kind, *[_signature(v, arrays) for v in value]
    if kind is dict:
        return kind, *[(k, _signature(v, arrays)) for k, v in value.items()]
    return (kind, value) if kind in (int, float, bool) else value  # 1 and 1.0 differ


def _record(function: Any, name: str, args: Any, kwargs: Any) -> tuple[Any, _Recorded]:
    """Run the function once, and write its program."""
    install()
    recorder = Recorder()
    inputs: list[Host] = []

    def entered(value: Any) -> Any:
        array = value.data if isinstance(value, Tensor) else value
        if type(array) is not np.ndarray or (isinstance(value, Tensor) and value.requires_grad):
            return value
        inputs.append(np.array(array, order="C"))
        standin = recorder.array(inputs[-1])
        return wrap(standin) if isinstance(value, Tensor) else standin

    try:
        with switched(recorder=recorder), instead(Instead(NAMESPACE, STREAM)):
            taken = _taken(  # cut off from the tape, which ends here
                recorder, function(*mapped(args, entered), **mapped(kwargs, entered))
            )
    except Untraceable as error:
        _restore(recorder)
        where = show(recorder.last_place())
        raise CompileError(
            f"compile: {name} cannot be recorded at {where}: {error}. Move that line out of the "
            "compiled function, or return the value and use it outside"
        ) from error
    except BaseException:
        _restore(recorder)
        raise
    return _finish(recorder, name, inputs, *taken)


def _finish(
    recorder: Recorder,
    name: str,
    inputs: list[Host],
    refs: list[Any],
    results: list[Any],
    shape: Any,
) -> tuple[Any, _Recorded]:
    """The result of the recorded run, and the program."""
    grads = [
        (leaf, leaf.grad) for leaf, _, before in recorder.lifted.values() if leaf.grad is not before
    ]
    places = [ref for ref, _ in filter(None, refs)]
    arrays = {id(g): g.data.ref for _, g in grads if g is not None and type(g.data) is StandIn}
    _restore(recorder)
    _check_leaks(recorder, name)
    program = Program(recorder, [ref.memory for ref in (*arrays.values(), *places)])
    for _, grad in grads:
        if grad is not None and id(grad) in arrays:
            value = grad.data
            grad.data = program.view(arrays[id(grad)])
            grad.data[...] = value
    out = [
        _Output(program.view(r[0]), r[1]) if r else x for r, x in zip(refs, results, strict=True)
    ]
    result = mapped(shape, results.__getitem__)
    return result, _Recorded(program, inputs, mapped(shape, out.__getitem__), grads)


def _taken(recorder: Recorder, outputs: Any) -> tuple[list[Any], list[Any], Any]:
    """Where the outputs stand, their values now, and their structure over positions."""
    refs: list[Any] = []
    results: list[Any] = []

    def take(leaf: Any) -> int:
        tensor = isinstance(leaf, Tensor)
        data = leaf.data if tensor else leaf
        if type(data) is not StandIn or id(leaf) in recorder.lifted:
            refs.append(None)
            results.append(leaf)
        else:
            refs.append((data.ref, tensor))
            copy = data.value.copy()
            results.append(wrap(copy) if tensor else copy)
        return len(refs) - 1

    return refs, results, mapped(outputs, take)


def _restore(recorder: Recorder) -> None:
    """Give the Tensors that were met their arrays back, and gradients real ones."""
    for leaf, array, _ in recorder.lifted.values():
        if type(leaf.data) is StandIn:
            leaf.data = array if leaf.data.value is array else leaf.data.value
        if isinstance(leaf.grad, Tensor) and type(leaf.grad.data) is StandIn:
            leaf.grad.data = leaf.grad.data.value


def _check_leaks(recorder: Recorder, name: str) -> None:
    """Raise if something made inside lives on where a replay would not renew it."""
    if not _leaked(recorder):
        return
    gc.collect()  # cycles
    for standin in _leaked(recorder):
        line = next((x for x in recorder.lines if standin.ref.memory in x.writes), None)
        where = show(line.place) if line else "an unknown line"
        raise CompileError(
            f"compile: {name} keeps a value of shape {standin.shape} that it made at {where}; a "
            "replay would not renew it. Return it, and pass it in again if the next call reads it"
        )


def _leaked(recorder: Recorder) -> list[StandIn]:
    return [s for s in recorder.alive() if s.ref.memory.owner is None]


def compile(function: Callable[P, R] | None = None, *, max_programs: int = 16) -> Any:
    """Decorator: record `function` once, then replay it without building Tensors or a tape.

    The function may be any code on Tensors: a whole train step with backward pass, clipping and
    optimiser, or a step of inference. The first call runs it and writes down each call of NumPy; a
    later one repeats those calls, over memory that was planned once. Results are the same, bit for
    bit. A program is recorded for each combination of shapes, dtypes and other arguments; the last
    `max_programs` are kept, and recording is reported by the logger `minigrad.compile`.

    What a program sees of the outside:

    - Tensors and NumPy arrays given as arguments are inputs: their values may change. All other
      arguments, and what the function reads from outside (`self.scale`, a global), are constants,
      but for the training mode of modules and the numbers of optimisers.
    - Tensors from outside, such as parameters, are read and written in place.
    - Random numbers are drawn anew.
    - Results are fresh copies, cut off from the tape; gradients are left in `.grad`.

    Raises: CompileError, naming the line, where the function needs a value on the host (`.item()`,
    `if loss > 1`, a boolean mask as index), or keeps a Tensor it made for its next call.

    >>> import minigrad as mg
    >>> w = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> @mg.compile
    ... def step(x):
    ...     w.grad = None
    ...     loss = (w * x).sum()
    ...     loss.backward()
    ...     return loss
    >>> step(mg.tensor([1.0, 1.0])), step(mg.tensor([3.0, 4.0]))
    (tensor(3.), tensor(11.))
    >>> w.grad
    tensor([3., 4.])
    """
    if function is None:
        return functools.partial(compile, max_programs=max_programs)
    if max_programs < 1:
        raise ConfigError(f"compile: max_programs is {max_programs}, expected a number >= 1")
    return Compiled(function, max_programs)
