"""`CellRNN`: any cell, scanned over whole sequences of any lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import ops
from ..engine import Tensor, no_grad
from ..errors import ConfigError, ShapeError
from ..ops.recurrent.checks import exists, length_array
from .masks import dropout_mask
from .module import Module

__all__ = ["CellRNN"]

State = Any  # a Tensor (B, …), or a tuple of them: what the cell takes and gives


class CellRNN(Module):
    """sₜ = cell(xₜ, sₜ₋₁) over a sequence; the first state is the output.

        y, state = layer(x, state=None, lengths=None)

    A cell is any module called as `cell(x, state)` that returns the new state, a Tensor or a tuple
    of them, with the batch first: the cells of this package, or your own. As in `LSTM`, padding is
    never read and never changes a gradient, outputs there are 0, the final state is each sequence's
    own, and a length may be 0. In `Bidirectional` it reads both ways.

    Shapes: x (T, B, features), or (B, T, features) with `batch_first`, or (T, features); y (T, B,
    H); the states are those of the cell, (B, H). Without a state the scan starts from zeros.
    Raises: ConfigError for what is no probability; ShapeError for lengths that do not fit, and the
    cell's own errors.

    Args:
        cell: one step.
        dropout: in training, zero features of x, with one mask for all steps of a sequence.
        recurrent_dropout: the same for the first state, as the cell sees it: variational dropout
            (Gal & Ghahramani 2016).
        zoneout: in training, units keep their old state with this probability at each step, and in
            evaluation they mix old and new in this proportion (Krueger et al. 2017). One number, or
            one per state.
        reverse (of the call): read from each sequence's end to its start.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> layer = nn.CellRNN(nn.PeepholeLSTMCell(3, 8), zoneout=(0.1, 0.5))
    >>> y, (h, c) = layer(mg.zeros((5, 2, 3)), lengths=[5, 2])
    >>> y.shape, h.shape
    ((5, 2, 8), (2, 8))
    """

    def __init__(
        self,
        cell: Module,
        batch_first: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        zoneout: float | Sequence[float] = 0.0,
    ) -> None:
        super().__init__()
        self.cell, self.batch_first = cell, batch_first
        self.dropout, self.recurrent_dropout = dropout, recurrent_dropout
        self.zoneout = zoneout
        given = [zoneout] if isinstance(zoneout, int | float) else list(zoneout)
        for p in (dropout, recurrent_dropout, *given):
            if not 0 <= p <= 1:
                raise ConfigError(f"CellRNN: {p} is no probability: dropout, zoneout are 0 to 1")

    def forward(
        self, x: Tensor, state: State = None, lengths: Any = None, *, reverse: bool = False
    ) -> tuple[Tensor, State]:
        x = ops.asarray(x)
        if x.ndim not in (2, 3):
            layout = "(B, T, features)" if self.batch_first else "(T, B, features)"
            raise ShapeError(f"CellRNN: x has shape {x.shape}, expected {layout} or (T, features)")
        batched = x.ndim == 3
        if not batched:
            x = ops.expand_dims(x, 1)
            state = _each(state, lambda s: ops.expand_dims(s, 0))
        elif self.batch_first:
            x = ops.permute_dims(x, (1, 0, 2))
        T, B, _ = x.shape
        ends = length_array("CellRNN", lengths, T, B)
        steps, running = T, None
        if ends is not None:
            if isinstance(ends, np.ndarray):  # not those of a program's input
                steps = int(ends.max(initial=0))
            running = Tensor(exists(ends, steps, x.device))
            x = ops.where(ops.expand_dims(running, -1), x[:steps], 0)  # 0 · NaN is NaN
        state = self._initial(x) if state is None else state
        y, state = self._scan(x, state, running, reverse)
        if steps < T:
            y = ops.pad(y, ((0, T - steps), *((0, 0),) * (y.ndim - 1)))
        if not batched:
            return y[:, 0], _each(state, lambda s: s[0])
        return (ops.moveaxis(y, 0, 1) if self.batch_first else y), state

    def _initial(self, x: Tensor) -> State:
        """Zeros of the shape of the cell's states."""
        with no_grad():
            like = self.cell(ops.zeros(x.shape[1:], dtype=x.dtype, device=x.device), None)
        return _each(like, ops.zeros_like)

    def _scan(
        self, x: Tensor, state: State, running: Tensor | None, reverse: bool
    ) -> tuple[Tensor, State]:
        single = isinstance(state, Tensor)
        states: tuple[Tensor, ...] = (state,) if single else tuple(state)
        rates = self._rates(len(states))
        if self.training and self.dropout:
            x = x * dropout_mask(x, (1, *x.shape[1:]), self.dropout)
        p = self.recurrent_dropout if self.training else 0.0
        mask = dropout_mask(states[0], states[0].shape, p)
        inputs = ops.unstack(x) if len(x) else ()
        going = ops.unstack(running) if running is not None and len(x) else None
        y: list[Any] = [None] * len(inputs)
        for t in reversed(range(len(inputs))) if reverse else range(len(inputs)):
            seen = states if mask is None else (states[0] * mask, *states[1:])
            new = self.cell(inputs[t], seen[0] if single else seen)
            news = (new,) if single else tuple(new)
            if any(rates):
                news = tuple(map(self._zone, news, states, rates))
            y[t] = news[0]
            if going is not None:
                on = [_beside(going[t], s) for s in news]
                y[t] = ops.where(on[0], news[0], 0)
                news = tuple(map(ops.where, on, news, states))
            states = news
        out = ops.stack(y) if y else ops.expand_dims(states[0], 0)[:0]
        return out, states[0] if single else states

    def _rates(self, n: int) -> list[float]:
        """The zoneout of each state."""
        if isinstance(self.zoneout, int | float):
            return [float(self.zoneout)] * n
        if len(self.zoneout) != n:
            raise ConfigError(f"CellRNN: {len(self.zoneout)} zoneout rates for {n} states")
        return [float(z) for z in self.zoneout]

    def _zone(self, new: Tensor, old: Tensor, rate: float) -> Tensor:
        if not rate:
            return new
        keep: Any = rate
        if self.training:
            keep = Tensor(new.device.rng.bernoulli(rate, new.shape, new.dtype))
        return old * keep + new * (1 - keep)

    def extra_repr(self) -> str:
        parts = [f"{name}={getattr(self, name)}" for name in _OPTIONS if getattr(self, name)]
        return ", ".join(parts)


_OPTIONS = ("batch_first", "dropout", "recurrent_dropout", "zoneout")


def _each(state: State, f: Any) -> State:
    """f of each Tensor of a state."""
    if state is None or isinstance(state, Tensor):
        return None if state is None else f(state)
    return tuple(f(s) for s in state)


def _beside(running: Tensor, s: Tensor) -> Tensor:
    """(B,) with as many axes as s."""
    return ops.reshape(running, (-1,) + (1,) * (s.ndim - 1))
