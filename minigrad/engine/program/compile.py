"""`compile`: record a function of Tensors once for each kind of arguments, then replay it."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

import numpy as np

from ...backend import device
from ...errors import CompileError, ConfigError
from ..modes import MODES
from ..tensor import Tensor
from .memory import leaves

if TYPE_CHECKING:
    from .capture import Captured
    from .program import Program
    from .record import Recorded

P = ParamSpec("P")
R = TypeVar("R")


class Compiled(Generic[P, R]):
    """A function that replays programs; `compile` makes it.

    Attributes:
        programs: the recorded programs, least recently used first, by what they were recorded for.
    """

    def __init__(self, function: Callable[P, R], limit: int) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.limit = limit
        self.programs: OrderedDict[Any, Recorded | Captured] = OrderedDict()
        self._name = getattr(function, "__qualname__", type(function).__name__)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        modes = MODES.get()
        if modes.recorder is not None:
            return self.function(*args, **kwargs)  # a part of the program around it
        arrays: list[Any] = []
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
        if recorded is None or not recorded.valid():
            return self._record(key, args, kwargs)
        if len(self.programs) > 1:
            self.programs.move_to_end(key)
        with recorded.lock:
            return recorded.replay(arrays, modes.profiler)

    def _record(self, key: Any, args: Any, kwargs: Any) -> Any:
        import logging  # here, not above: `import minigrad` stays quick

        from .capture import Captured
        from .record import record

        log = logging.getLogger("minigrad.compile")
        if self.programs:
            log.info("%s: recording program %d", self._name, len(self.programs) + 1)
        given = [t.device for t in leaves((args, kwargs)) if isinstance(t, Tensor)]
        where = next((d for d in given if d.kind != "cpu"), given[0] if given else device())
        if where.kind == "cpu":
            result, self.programs[key] = record(self.function, self._name, args, kwargs)
        else:
            captured = Captured(where, self.function, self._name, args, kwargs)
            result, self.programs[key] = captured.first(), captured
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
        recorded = next(reversed(self.programs.values()))
        if not hasattr(recorded, "program"):
            raise CompileError(
                f"compile: {self._name} is a graph of {recorded.device}, not a program"
            )
        return recorded.program

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __repr__(self) -> str:
        return f"<compiled {self._name}: {len(self.programs)} programs>"


def _signature(value: Any, arrays: list[Any]) -> Any:
    """What a program is recorded for: shapes and dtypes of arrays, and all else as it is."""
    if isinstance(value, Tensor):
        if value.node is not None:
            raise CompileError(
                f"compile: an argument is the result of {value.node.op.name}, recorded outside; "
                "give .detach(), or compute it inside"
            )
        if value.requires_grad:
            return value  # state: this very Tensor, read and written in place
        arrays.append(value.data)
        return value.device, value.data.shape, value.data.dtype.num
    kind = type(value)
    if kind is np.ndarray:
        arrays.append(value)
        return kind, value.shape, value.dtype
    if isinstance(value, tuple | list):
        return kind, *[_signature(v, arrays) for v in value]
    if kind is dict:
        return kind, *[(k, _signature(v, arrays)) for k, v in value.items()]
    return (kind, value) if kind in (int, float, bool) else value  # 1 and 1.0 differ


def compile(function: Callable[P, R] | None = None, *, max_programs: int = 16) -> Any:
    """Decorator: record `function` once, then replay it without building Tensors or a tape.

    The function may be any code on Tensors: a whole train step with backward pass, clipping and
    optimiser, or a step of inference. The first call runs it and writes down each call of NumPy; a
    later one repeats those calls, over memory that was planned once. Results are the same, bit for
    bit, but for what a loop multiplies in many small products, of one weight or summed up: they are
    one product, and the same to rounding. A program is recorded for each combination of shapes,
    dtypes and other arguments; the last `max_programs` are kept, and recording is reported by the
    logger `minigrad.compile`.

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
