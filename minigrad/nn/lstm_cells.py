"""LSTM cells that PyTorch has not: layer-normalised, and with peepholes. Scan them by `CellRNN`."""

from __future__ import annotations

import math
from typing import Any

from .. import ops
from ..engine import Tensor
from . import init
from .cells import LSTMCell
from .module import new_parameter
from .normalization import LayerNorm

__all__ = ["LayerNormLSTMCell", "PeepholeLSTMCell"]


class LayerNormLSTMCell(LSTMCell):
    """One step of an LSTM whose gates and cell state are layer-normalised.

        i f g o = LN(W x) + LN(U h)                c' = σ(f) ∘ c + σ(i) ∘ tanh(g)
        h' = σ(o) ∘ tanh(LN(c'))

        h, c = cell(x, state=None)

    Shapes: x (B, input_size) or (input_size,); h and c (B, hidden_size) or (hidden_size,).
    Parameters: weight_ih (4H, I), weight_hh (4H, H), gates i f g o; norm_ih and norm_hh over 4H,
    norm_c over H, each with weight and bias: the biases of the norms are those of the gates.
    Init: weights U(±1/√hidden_size); norms 1 and 0.
    Raises: ShapeError, DTypeError if the arguments do not fit.
    Paper: Ba, Kiros & Hinton 2016, eq. 20-22.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> layer = nn.CellRNN(nn.LayerNormLSTMCell(3, 8))
    >>> y, (h, c) = layer(mg.zeros((5, 2, 3)), lengths=[5, 0])
    >>> y.shape, c.shape
    ((5, 2, 8), (2, 8))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        eps: float = 1e-5,
        *,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        place = {"dtype": dtype, "device": device}
        super().__init__(input_size, hidden_size, False, **place)
        self.norm_ih = LayerNorm(4 * hidden_size, eps, **place)
        self.norm_hh = LayerNorm(4 * hidden_size, eps, **place)
        self.norm_c = LayerNorm(hidden_size, eps, **place)

    def reset_parameters(self) -> None:
        """Draw the weights from U(±1/√hidden_size); the norms draw nothing."""
        bound = 1 / math.sqrt(self.hidden_size)
        for p in (self.weight_ih, self.weight_hh):
            init.uniform_(p, -bound, bound)

    def _sequence(self, *arguments: Any) -> tuple[Tensor, ...]:
        x, h, c, *_ = arguments
        gates = self.norm_ih(ops.linear(x[0], self.weight_ih))
        gates = gates + self.norm_hh(ops.linear(h, self.weight_hh))
        i, f, g, o = ops.split(gates, 4, axis=-1)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        h = ops.sigmoid(o) * ops.tanh(self.norm_c(c))
        return h, h, c


class PeepholeLSTMCell(LSTMCell):
    """One step of an LSTM whose gates look at the cell state.

        i = σ(W x + U h + b + p_i ∘ c)             g = tanh(W x + U h + b)
        f = σ(W x + U h + b + p_f ∘ c)             c' = f ∘ c + i ∘ g
        o = σ(W x + U h + b + p_o ∘ c')            h' = o ∘ tanh(c')

        h, c = cell(x, state=None)

    Shapes: x (B, input_size) or (input_size,); h and c (B, hidden_size) or (hidden_size,).
    Parameters: those of `LSTMCell`, gates i f g o, and weight_ci, weight_cf, weight_co (H,): p.
    Init: U(±1/√hidden_size). With p = 0 it is `LSTMCell`.
    Raises: ShapeError, DTypeError if the arguments do not fit.
    Papers: Gers & Schmidhuber 2000; this form: Graves 2013, eq. 7-11.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, dtype=dtype, device=device)
        self.weight_ci = new_parameter(hidden_size, dtype=dtype, device=device)
        self.weight_cf = new_parameter(hidden_size, dtype=dtype, device=device)
        self.weight_co = new_parameter(hidden_size, dtype=dtype, device=device)
        self.reset_parameters()

    def _sequence(self, *arguments: Any) -> tuple[Tensor, ...]:
        x, h, c, w_ih, w_hh, b_ih, b_hh = arguments
        gates = ops.linear(x[0], w_ih, b_ih) + ops.linear(h, w_hh, b_hh)
        i, f, g, o = ops.split(gates, 4, axis=-1)
        i = ops.sigmoid(i + self.weight_ci * c)
        f = ops.sigmoid(f + self.weight_cf * c)
        c = f * c + i * ops.tanh(g)
        h = ops.sigmoid(o + self.weight_co * c) * ops.tanh(c)
        return h, h, c
