"""Recurrent cells: one step, for decoders that choose their next input themselves."""

from __future__ import annotations

import math
from typing import Any

from .. import ops
from ..engine import Tensor, wrap
from ..errors import ConfigError, DTypeError, ShapeError
from ..ops.recurrent import gru, in_float32, lstm, rnn
from . import init
from .module import Module, Parameter, new_parameter


class Cell(Module):
    """What the cells share: parameters, checks, and a step as a sequence of one."""

    gates = 1
    states: tuple[str, ...] = ("h",)
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__()
        if min(input_size, hidden_size) < 1:
            raise ConfigError(
                f"{type(self).__name__}: input_size and hidden_size must be positive, "
                f"got {input_size} and {hidden_size}"
            )
        self.input_size, self.hidden_size = input_size, hidden_size
        rows, place = self.gates * hidden_size, {"dtype": dtype, "device": device}
        self.weight_ih = new_parameter(rows, input_size, **place)
        self.weight_hh = new_parameter(rows, hidden_size, **place)
        self.bias_ih = new_parameter(rows, **place) if bias else None
        self.bias_hh = new_parameter(rows, **place) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every parameter from U(±1/√hidden_size)."""
        bound = 1 / math.sqrt(self.hidden_size)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def _sequence(self, *arguments: Any) -> Any:
        """y and the new states, from x (1, B, I), the states and the weights."""
        raise NotImplementedError

    def _step(self, x: Tensor, given: Any) -> tuple[Tensor, ...]:
        """The new states (B, H), or (H,) if x is (I,)."""
        name, H = type(self).__name__, self.hidden_size
        if not isinstance(x, Tensor):
            x = ops.asarray(x)
        if x.ndim not in {1, 2} or x.shape[-1] != self.input_size:
            raise ShapeError(
                f"{name}: x has shape {x.shape}, expected (B, {self.input_size}) or "
                f"({self.input_size},): weight_ih is {self.weight_ih.shape}"
            )
        if x.dtype != self.weight_ih.dtype:
            raise DTypeError(
                f"{name}: x is {x.dtype}, weight_ih is {self.weight_ih.dtype}; cast x with "
                ".astype, or the cell with .to"
            )
        lead = x.shape[:-1]
        B = lead[0] if lead else 1
        if given is None:
            given = (wrap(x.device.xp.zeros((B, H), dtype=x.dtype)),) * len(self.states)
        else:
            if isinstance(given, Tensor) or len(given) != len(self.states):
                raise ShapeError(f"{name}: state must be the pair ({', '.join(self.states)})")
            for key, state in zip(self.states, given, strict=True):
                if state.shape != (*lead, H):
                    raise ShapeError(
                        f"{name}: {key} has shape {state.shape}, expected {(*lead, H)}: x has "
                        f"shape {x.shape}"
                    )
            given = given if lead else [ops.reshape(state, (1, H)) for state in given]
        x = ops.reshape(x, (1, B, self.input_size))
        weights = self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh
        new = in_float32(self._sequence, x, *given, *weights)[1:]
        return tuple(new) if lead else tuple(ops.reshape(state, (H,)) for state in new)

    def extra_repr(self) -> str:
        no_bias = "" if self.bias_ih is not None else ", bias=False"
        return f"{self.input_size}, {self.hidden_size}{no_bias}"


class RNNCell(Cell):
    """h' = φ(W x + U h + b), with φ tanh or relu.

        h = cell(x, h=None)

    Shapes: x (B, input_size) or (input_size,); h (B, hidden_size) or (hidden_size,).
    Parameters: weight_ih (H, I), weight_hh (H, H), bias_ih and bias_hh (H,).
    Init: U(±1/√hidden_size), as in PyTorch.
    Raises: ShapeError, DTypeError if the arguments do not fit; ConfigError for another φ.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        *,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        if nonlinearity not in {"tanh", "relu"}:
            raise ConfigError(
                f"RNNCell: nonlinearity is {nonlinearity!r}, expected 'tanh' or 'relu'"
            )
        super().__init__(input_size, hidden_size, bias, dtype=dtype, device=device)
        self.nonlinearity = nonlinearity

    def forward(self, x: Tensor, h: Tensor | None = None) -> Tensor:
        return self._step(x, None if h is None else (h,))[0]

    def _sequence(self, *arguments: Any) -> Any:
        return rnn(*arguments, nonlinearity=self.nonlinearity)


class LSTMCell(Cell):
    """One step of an LSTM; the equations are those of `LSTM`.

        h, c = cell(x, state=None)

    Shapes: x (B, input_size) or (input_size,); h and c (B, hidden_size) or (hidden_size,).
    Parameters: weight_ih (4H, I), weight_hh (4H, H), bias_ih and bias_hh (4H,), gates i f g o.
    Init, Raises: as `RNNCell`.
    """

    gates = 4
    states = ("h", "c")

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        h, c = self._step(x, state)
        return h, c

    def _sequence(self, *arguments: Any) -> Any:
        return lstm(*arguments)


class GRUCell(Cell):
    """One step of a GRU; the equations are those of `GRU`.

        h = cell(x, h=None)

    Shapes: x (B, input_size) or (input_size,); h (B, hidden_size) or (hidden_size,).
    Parameters: weight_ih (3H, I), weight_hh (3H, H), bias_ih and bias_hh (3H,), gates r z n.
    Init, Raises: as `RNNCell`.
    """

    gates = 3

    def forward(self, x: Tensor, h: Tensor | None = None) -> Tensor:
        return self._step(x, None if h is None else (h,))[0]

    def _sequence(self, *arguments: Any) -> Any:
        return gru(*arguments)
