"""Compiled steps on devices that capture graphs themselves: CUDA graphs.

There the device writes the program: while a graph is captured, nothing is computed; a launch then
does all of it, without the host. The first call runs as always (kernels are compiled, memory is
allocated), the second is captured.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from ...backend import NAMESPACES, Array, Device, philox
from ...backend.graph import feeder
from ...errors import MinigradError
from ..modes import PACKAGE, switched
from ..recording import Moment
from ..tensor import Tensor, wrap
from .conditions import Conditions
from .memory import mapped

log = logging.getLogger("minigrad.compile")


class Capturing:
    """What a recorder is asked, answered for a device that records by itself."""

    def __init__(self, device: Device) -> None:
        self.device, self.op = device, ""
        self.refreshers: list[Callable[[], None]] = []
        self.conditions = Conditions()

    def lift(self, value: Any) -> Any:
        """Nothing stands in for the device's arrays."""
        return value

    def check_fresh(self, grad: Tensor) -> None:
        """A gradient that is added to is added to by each launch."""

    def forward(self, op: Any) -> Callable[..., Any]:
        """The kernel of `op`."""
        return op.forward

    def backward(self, op: Any) -> Callable[..., Any]:
        """The backward kernel of the fused `op`."""
        return op._backward

    def kernel(self, function: Callable[..., Any], args: Any, params: dict[str, Any]) -> Any:
        """Code on arrays that is no op."""
        return function(*args, **params)

    def primitive(self, function: Callable[..., Any], args: Any, writes: Any) -> None:
        """Code that the array library does not see."""
        function(*args)

    def examine(self, look: Callable[..., None], args: Any) -> None:
        """Values are not looked at on a device that would have to wait."""

    def note(self, moment: Moment) -> None:
        """A graph cannot ask the host, but counts its own draws."""
        moment.state = philox.drawn()

    def rewind(self, moment: Moment) -> None:
        """Draw again from there in each launch."""
        philox.drawn_again(moment.state)

    def before_replay(self, refresh: Callable[[], None]) -> None:
        """Call `refresh` before each launch."""
        self.refreshers.append(refresh)

    def fork(self, branches: Sequence[Callable[[], Any]]) -> list[Any]:
        """On streams of the device, which the graph keeps beside each other."""
        return self.device.fork(branches)


class Captured:
    """A step as a graph of its device, with its way in and out.

    Attributes:
        device: where it runs.
        graph: None until it is captured.
        eager: it could not be captured, and runs as always.
    """

    def __init__(
        self, device: Device, function: Callable[..., Any], name: str, args: Any, kwargs: Any
    ) -> None:
        self.device, self.function, self.name = device, function, name
        self.graph: Any = None
        self.eager = False
        self.lock = threading.RLock()
        self.inputs: list[Array] = []
        self.args, self.kwargs = mapped(args, self._input), mapped(kwargs, self._input)
        self._feed = feeder(device, self.inputs)
        self.outputs: Any = None
        self.conditions = Conditions()
        self.refreshers: list[Callable[[], None]] = []

    def _input(self, value: Any) -> Any:
        data = value.data if isinstance(value, Tensor) else value
        if type(data) not in NAMESPACES or (isinstance(value, Tensor) and value.requires_grad):
            return value
        self.inputs.append(self.device.asarray(data).copy())
        return wrap(self.inputs[-1]) if isinstance(value, Tensor) else self.inputs[-1]

    def valid(self) -> bool:
        """Whether what the graph was captured under still holds."""
        return self.conditions.hold()

    def first(self) -> Any:
        """The first call: the step itself."""
        return mapped(self.function(*self.args, **self.kwargs), _result)

    def replay(self, arrays: list[Array], profiler: Any = None) -> Any:
        """The step on other inputs."""
        self._feed(*arrays)
        if self.graph is None and not self.eager:
            self._capture()
        if self.eager:
            return self.first()
        for refresh in self.refreshers:
            refresh()
        self.graph.launch()
        for leaf, grad in self.grads:
            leaf.grad = grad
        return mapped(self.outputs, _result)

    def _capture(self) -> None:
        mode = Capturing(self.device)
        touched: dict[int, Tensor] = {}
        mode.lift = lambda value: _seen(value, touched)  # type: ignore[method-assign]

        def step() -> Any:
            with switched(recorder=mode):
                return self.function(*self.args, **self.kwargs)

        try:
            self.graph, self.outputs = self.device.capture(step)
        except (MinigradError, TypeError, RuntimeError) as error:
            self.eager = True
            log.warning(
                "%s cannot be captured at %s: %s. It runs step by step",
                self.name,
                _culprit(error),
                error,
            )
            return
        self.conditions = mode.conditions
        self.refreshers = mode.refreshers
        leaves = list(touched.values())
        touched.clear()
        leaves = self.conditions.places(leaves)  # the graph reads and writes where their data lie
        self.grads = [(leaf, leaf.grad) for leaf in leaves if leaf.grad is not None]


def _seen(value: Any, touched: dict[int, Tensor]) -> Any:
    if isinstance(value, Tensor) and value.node is None:
        touched[id(value)] = value
    return value


def _result(value: Any) -> Any:
    """An output as a fresh copy without history."""
    if isinstance(value, Tensor):
        return (
            wrap(value.data.copy()) if value.node is not None or not value.requires_grad else value
        )
    return value.copy() if type(value) in NAMESPACES else value


def _culprit(error: BaseException) -> str:
    """The line of the user's code that raised `error`."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if PACKAGE not in f.filename]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown line"
