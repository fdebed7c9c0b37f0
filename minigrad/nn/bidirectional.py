"""`Bidirectional`: any recurrent layer, read in both directions."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from .. import ops
from ..engine import Tensor
from ..errors import ConfigError, ShapeError
from ..ops.recurrent import reverse_each
from ..ops.recurrent.checks import length_array
from .masks import device_beside
from .module import Module
from .recurrent import Recurrent

MERGE: dict[str | None, Callable[[Tensor, Tensor], Any]] = {
    "concat": lambda a, b: ops.concat([a, b], axis=-1),
    "sum": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "ave": lambda a, b: (a + b) * 0.5,
    None: lambda a, b: (a, b),
}


class Bidirectional(Module):
    """A recurrent layer forward and another one backward over each sequence, outputs merged.

        y, (state, backward_state) = both(x, state=None, lengths=None)

    The outputs of the backward layer stand in clock order, so y[t] has read the whole sequence: up
    to t, and from its end down to t. With `lengths`, the end is each sequence's own.

    Arguments:
        layer: RNN, LSTM, GRU, or any module called as `layer(x, state, lengths)` that returns
            (y, state) and whose attribute `batch_first`, if it has one, says where time is.
        backward_layer: the layer that reads backward; by default a copy of `layer` with freshly
            drawn weights.
        merge_mode: "concat" (features side by side), "sum", "mul", "ave", or None: y is the pair.
    Shapes: as `layer`; y (T, B, 2 · features) for "concat". The state is a pair, one per direction.
    Raises: ConfigError for another `merge_mode`, or a layer that cannot be drawn afresh.
    Papers: Schuster & Paliwal 1997; the merge modes are those of Keras.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> both = nn.Bidirectional(nn.GRU(3, 8), merge_mode="sum")
    >>> y, (forward, backward) = both(mg.zeros((5, 2, 3)), lengths=[5, 1])
    >>> y.shape, backward.shape
    ((5, 2, 8), (1, 2, 8))
    """

    def __init__(
        self,
        layer: Module,
        backward_layer: Module | None = None,
        merge_mode: str | None = "concat",
    ) -> None:
        super().__init__()
        if merge_mode not in MERGE:
            known = ", ".join(repr(mode) for mode in MERGE)
            raise ConfigError(f"Bidirectional: merge_mode is {merge_mode!r}, expected {known}")
        self.forward_layer = layer
        self.backward_layer = redrawn(layer) if backward_layer is None else backward_layer
        self.merge_mode = merge_mode
        sides = [bool(getattr(m, "batch_first", False)) for m in self.children()]
        if sides[0] != sides[1]:
            raise ConfigError("Bidirectional: the two layers differ in batch_first")
        self.batch_first = sides[0]

    def forward(self, x: Tensor, state: Any = None, lengths: Any = None) -> tuple[Any, Any]:
        if state is None:
            state = None, None
        elif isinstance(state, Tensor) or len(state) != 2:
            raise ShapeError("bidirectional: state must be the pair (forward, backward)")
        y, last = self.forward_layer(x, state[0], lengths)
        y_back, last_back = self._backward(x, state[1], lengths)
        return MERGE[self.merge_mode](y, y_back), (last, last_back)

    def _backward(self, x: Tensor, state: Any, lengths: Any) -> tuple[Tensor, Any]:
        if isinstance(self.backward_layer, Recurrent):  # reads backward by itself
            y, state = self.backward_layer(x, state, lengths, reverse=True)
            return y, state
        second = self.batch_first and x.ndim > 2  # is time the second axis?
        flipped = reverse_sequences(x, lengths, batch_first=second)
        y, state = self.backward_layer(flipped, state, lengths)
        return reverse_sequences(y, lengths, batch_first=second), state

    def extra_repr(self) -> str:
        return f"merge_mode={self.merge_mode!r}"


def reverse_sequences(x: Tensor, lengths: Any = None, *, batch_first: bool = False) -> Tensor:
    """Each sequence of `x` in reverse; padding stays where it is.

    Shapes: x (T, B, …), or (B, T, …) with `batch_first`.

    >>> import minigrad as mg
    >>> from minigrad.nn.bidirectional import reverse_sequences
    >>> x = mg.asarray([[1, 2, 3], [4, 5, 0]])
    >>> reverse_sequences(x, [3, 2], batch_first=True)
    tensor([[3, 2, 1],
            [5, 4, 0]])
    """
    axis = 1 if batch_first else 0
    if lengths is None:
        return ops.flip(x, axis=axis)
    T, B = x.shape[axis], x.shape[1 - axis]
    ends = length_array("reverse_sequences", lengths, T, B)
    ends = Tensor(device_beside(x).asarray(ends))
    if not batch_first:
        return reverse_each(x, ends)
    return ops.moveaxis(reverse_each(ops.moveaxis(x, 1, 0), ends), 0, 1)


def redrawn(layer: Module) -> Module:
    """A copy of `layer` with weights of its own, drawn afresh."""
    fresh = copy.deepcopy(layer)
    for module in fresh.modules():
        own = [p for p in vars(module).values() if isinstance(p, Tensor)]
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
        elif own:
            raise ConfigError(
                f"Bidirectional: {type(module).__name__} has no reset_parameters(), so a copy "
                "would start with the same weights; pass backward_layer"
            )
    return fresh
