"""Recording a step on the CPU: the function runs once, on stand-ins; a program comes out."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np

from ...backend import Instead, instead
from ...errors import CompileError
from ..modes import show, switched
from ..tensor import Tensor, wrap
from .conditions import Conditions
from .memory import Host, mapped
from .namespace import NAMESPACE, STREAM, install
from .program import Program
from .recorder import Recorder
from .standin import StandIn, Untraceable


def record(function: Any, name: str, args: Any, kwargs: Any) -> tuple[Any, Recorded]:
    """Run the function once, and write its program: the result, and what replays it."""
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
) -> tuple[Any, Recorded]:
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
    leaves = [leaf for leaf, *_ in recorder.lifted.values()]
    recorder.lifted.clear()
    recorder.conditions.places(leaves)
    outputs = mapped(shape, out.__getitem__)
    return result, Recorded(program, inputs, outputs, grads, recorder.conditions)


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


class Recorded:
    """A program with its way in and out."""

    def __init__(
        self,
        program: Program,
        inputs: list[Host],
        outputs: Any,
        grads: list[tuple[Tensor, Tensor | None]],
        conditions: Conditions,
    ) -> None:
        self.program, self.inputs, self.outputs, self.grads = program, inputs, outputs, grads
        self.lock, self.valid = program.lock, conditions.hold
        self._results = _results(outputs)

    def replay(self, arrays: list[Host], profiler: Any = None) -> Any:
        """Run the program on `arrays`."""
        for place, array in zip(self.inputs, arrays, strict=True):
            place[...] = array
        self.program.run(profiler)
        for leaf, grad in self.grads:
            leaf.grad = grad
        return self._results()


class _Output:
    """An output of the program: a fresh copy for each call."""

    def __init__(self, view: Host, as_tensor: bool) -> None:
        self.view, self.as_tensor = view, as_tensor

    def __call__(self) -> Any:
        copy = self.view.copy()
        return wrap(copy) if self.as_tensor else copy


def _results(outputs: Any) -> Callable[[], Any]:
    """What makes the results of a call, the usual ones the short way."""
    if type(outputs) is _Output:
        return outputs
    if type(outputs) is tuple and all(type(out) is _Output for out in outputs):
        return lambda: tuple([out() for out in outputs])
    return lambda: mapped(outputs, _opened)


def _opened(leaf: Any) -> Any:
    return leaf() if type(leaf) is _Output else leaf
