"""Recurrent layers over whole sequences: RNN, LSTM, GRU."""

from __future__ import annotations

import math
import warnings
from functools import partial
from typing import Any

from .. import ops
from ..engine import Tensor, wrap
from ..errors import ConfigError, DTypeError, ShapeError
from ..ops.recurrent import BOTH, gru, in_float32, lstm, padded, rnn, worth
from ..ops.recurrent.checks import as_lengths, on_device
from . import init
from .module import Module, Parameter, new_parameter

State = Any  # (D·L, B, H), or for the LSTM a pair of them


class Recurrent(Module):
    """What RNN, LSTM and GRU share: layers, directions, states, the parameters' names.

    A subclass sets `op`, which computes one layer in one direction, `gates`, the gate blocks in a
    weight, and `states`, the names of its states.
    """

    op: Any
    gates = 1
    states: tuple[str, ...] = ("h0",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        proj_size: int,
        dtype: Any,
        device: Any,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if min(input_size, hidden_size, num_layers) < 1:
            raise ConfigError(
                f"{name}: input_size, hidden_size and num_layers must be positive, "
                f"got {input_size}, {hidden_size} and {num_layers}"
            )
        if not 0 <= dropout <= 1:
            raise ConfigError(f"{name}: dropout is {dropout}, expected a probability")
        if not 0 <= proj_size < hidden_size:
            raise ConfigError(
                f"{name}: proj_size is {proj_size}, expected 0 (none) … {hidden_size - 1}, "
                "less than hidden_size"
            )
        if dropout and num_layers == 1:
            warnings.warn(
                f"{name}: dropout={dropout} acts between layers and num_layers is 1: it does "
                "nothing; apply nn.Dropout to the output",
                stacklevel=3,
            )
        self.input_size, self.hidden_size = input_size, hidden_size
        self.num_layers, self.proj_size = num_layers, proj_size
        self.bias, self.batch_first = bias, batch_first
        self.dropout, self.bidirectional = float(dropout), bidirectional
        rows, out = self.gates * hidden_size, proj_size or hidden_size
        directions = ("", "_reverse") if bidirectional else ("",)
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in range(num_layers):
            features = input_size if layer == 0 else out * len(directions)
            for direction in directions:
                end = f"_l{layer}{direction}"
                shapes[f"weight_ih{end}"] = rows, features
                shapes[f"weight_hh{end}"] = rows, out
                if bias:
                    shapes[f"bias_ih{end}"] = shapes[f"bias_hh{end}"] = (rows,)
                if proj_size:
                    shapes[f"weight_hr{end}"] = proj_size, hidden_size
        for key, shape in shapes.items():
            setattr(self, key, new_parameter(*shape, dtype=dtype, device=device))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every parameter from U(±1/√hidden_size)."""
        bound = 1 / math.sqrt(self.hidden_size)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def forward(
        self, x: Tensor, state: State = None, lengths: Any = None, *, reverse: bool = False
    ) -> tuple[Tensor, State]:
        if not isinstance(x, Tensor):
            x = ops.asarray(x)
        if x.ndim not in {2, 3}:
            raise ShapeError(f"{self._op}: x has shape {x.shape}, expected {self._layout}")
        batched = x.ndim == 3
        if not batched:
            x = ops.reshape(x, (x.shape[0], 1, x.shape[1]))
        elif self.batch_first:
            x = ops.permute_dims(x, (1, 0, 2))
        T, B, _ = x.shape
        self._check(x)
        lengths = as_lengths(self._op, lengths, T, B)
        initial = self._initial(state, x, batched)

        final: list[Tensor] = []  # of the layers and directions one after the other
        y = x
        for layer in range(self.num_layers):
            if layer and self.training and self.dropout:
                y = ops.dropout(y, self.dropout)
            y, *last = self._layer(y, layer, initial, lengths=lengths, reverse=reverse)
            final += last

        kinds = len(self.states)
        last = [ops.stack(final[k::kinds]) for k in range(kinds)]
        if not batched:
            y = ops.reshape(y, (T, y.shape[2]))
            last = [ops.reshape(s, (s.shape[0], s.shape[2])) for s in last]
        elif self.batch_first:
            y = ops.permute_dims(y, (1, 0, 2))
        return y, tuple(last) if kinds > 1 else last[0]

    def _layer(self, x: Tensor, layer: int, initial: list[Any], **params: Any) -> Any:
        """(y, *final states) of a layer; those of its second direction come last."""
        params |= self._options()
        masked = on_device(params["lengths"])
        run = partial(padded, self.op) if masked else self.op
        ends = [f"_l{layer}", f"_l{layer}_reverse"][: 1 + self.bidirectional]
        first = layer * len(ends)
        args = [
            [*(s[first + k] for s in initial), *self._weights(end)] for k, end in enumerate(ends)
        ]
        if len(ends) == 1:
            return in_float32(run, x, *args[0], **params)
        if not masked and worth(x, *self._weights(ends[0])[:2]):
            return in_float32(BOTH[self.op], x, *args[0], *args[1], **params)
        ahead = in_float32(run, x, *args[0], **params)
        params["reverse"] = not params["reverse"]
        back = in_float32(run, x, *args[1], **params)
        return ops.concat([ahead[0], back[0]], axis=-1), *ahead[1:], *back[1:]

    def _weights(self, end: str) -> list[Any]:
        """The parameters whose names end in `end`, as the op takes them."""
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return [getattr(self, kind + end, None) for kind in kinds]

    def _options(self) -> dict[str, Any]:
        """What else the op is to know."""
        return {}

    # -- checking ------------------------------------------------------------------------------

    @property
    def _op(self) -> str:
        return type(self).__name__.lower()

    @property
    def _layout(self) -> str:
        return "(B, T, features)" if self.batch_first else "(T, B, features)"

    def _check(self, x: Tensor) -> None:
        weight: Parameter = self.weight_ih_l0  # type: ignore[attr-defined]
        if x.shape[2] != self.input_size:
            raise ShapeError(
                f"{self._op}: x has {x.shape[2]} features, weight_ih_l0 expects {self.input_size}; "
                f"x is {self._layout}"
            )
        if x.dtype != weight.dtype:
            raise DTypeError(
                f"{self._op}: x is {x.dtype}, weight_ih_l0 is {weight.dtype}; cast x with "
                ".astype, or the layer with .to"
            )

    def _initial(self, state: State, x: Tensor, batched: bool) -> list[Any]:
        """The initial states, each (D·L, B, features): those given, or zeros."""
        count = self.num_layers * (2 if self.bidirectional else 1)
        sizes = (self.proj_size or self.hidden_size, self.hidden_size)[: len(self.states)]
        if state is None:
            zeros = [wrap(x.device.xp.zeros((x.shape[1], n), dtype=x.dtype)) for n in sizes]
            return [[zero] * count for zero in zeros]
        given = state if len(self.states) > 1 else (state,)
        if isinstance(given, Tensor) or len(given) != len(self.states):
            raise ShapeError(f"{self._op}: state must be the pair ({', '.join(self.states)})")
        initial = []
        for name, s, size in zip(self.states, given, sizes, strict=True):
            expected = (count, x.shape[1], size) if batched else (count, size)
            if s.shape != expected:
                axes = "(layers · directions, B, hidden)"
                raise ShapeError(
                    f"{self._op}: {name} has shape {s.shape}, expected {expected}: "
                    f"{axes if batched else axes.replace(', B', '') + ', as x has no batch axis'}"
                )
            initial.append(ops.unstack(s if batched else ops.reshape(s, (count, 1, size))))
        return initial

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        for name, default in _DEFAULTS.items():
            if getattr(self, name, default) != default:
                parts.append(f"{name}={getattr(self, name)!r}")
        return ", ".join(parts)


_DEFAULTS = {
    "num_layers": 1,
    "nonlinearity": "tanh",
    "bias": True,
    "batch_first": False,
    "dropout": 0.0,
    "bidirectional": False,
    "proj_size": 0,
}


class RNN(Recurrent):
    """hₜ = φ(W xₜ + U hₜ₋₁ + b), with φ tanh or relu, in one or more layers and directions.

        y, h = rnn(x, state=None, lengths=None)

    Shapes: x (T, B, input_size), or (B, T, input_size) with `batch_first`, or (T, input_size);
    state, h (D·L, B, hidden_size) with D directions and L layers; y (T, B, D · hidden_size).
    Parameters per layer: weight_ih (H, I), weight_hh (H, H), bias_ih and bias_hh (H,).

    Arguments:
        num_layers: each further layer reads the outputs of the one below.
        bidirectional: a second pass per layer reads backward; its outputs are concatenated.
        dropout: probability, in training, of dropping an output between two layers.
        lengths (of the call): how many steps of each sequence exist, B integers in any order.
            Padding is never read and never changes a gradient, outputs there are 0, and the final
            state is each sequence's own. No sorting, no packing. On a GPU, lengths of the host save
            the steps that do not exist; lengths on it, as in a step that `mg.compile` captures, do
            not, but nothing waits for them.
        reverse (of the call): swap the directions: read from each sequence's end to its start.

    Init: U(±1/√hidden_size), as in PyTorch.
    Raises: ShapeError, DTypeError if the arguments do not fit; ConfigError for bad options.
    Paper: Elman 1990; bidirectional: Schuster & Paliwal 1997.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> layer = nn.RNN(3, 8)
    >>> y, h = layer(mg.zeros((5, 2, 3)), lengths=[5, 2])
    >>> y.shape, h.shape
    ((5, 2, 8), (1, 2, 8))
    """

    op = rnn

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        if nonlinearity not in {"tanh", "relu"}:
            raise ConfigError(f"RNN: nonlinearity is {nonlinearity!r}, expected 'tanh' or 'relu'")
        options = num_layers, bias, batch_first, dropout, bidirectional, 0, dtype, device
        super().__init__(input_size, hidden_size, *options)
        self.nonlinearity = nonlinearity

    def _options(self) -> dict[str, Any]:
        return {"nonlinearity": self.nonlinearity}


class LSTM(Recurrent):
    """Long short-term memory, in one or more layers and directions.

        i, f, o = σ(W xₜ + U hₜ₋₁ + b)        g = tanh(W xₜ + U hₜ₋₁ + b)
        cₜ = f ∘ cₜ₋₁ + i ∘ g                  hₜ = o ∘ tanh(cₜ)

        y, (h, c) = lstm(x, state=None, lengths=None)

    Shapes: x (T, B, input_size), or (B, T, input_size) with `batch_first`, or (T, input_size); h
    (D·L, B, P), c (D·L, B, hidden_size); y (T, B, D · P), with P = proj_size or hidden_size.
    Parameters per layer: weight_ih (4H, I), weight_hh (4H, P), bias_ih and bias_hh (4H,), gates in
    the order i f g o; with `proj_size`, hₜ = weight_hr (o ∘ tanh(cₜ)), weight_hr (P, H).
    Arguments, Init, Raises: as `RNN`.
    Papers: Hochreiter & Schmidhuber 1997; Gers et al. 2000; projection: Sak et al. 2014.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> layer = nn.LSTM(3, 8, num_layers=2, bidirectional=True)
    >>> y, (h, c) = layer(mg.zeros((5, 2, 3)))
    >>> y.shape, h.shape, c.shape
    ((5, 2, 16), (4, 2, 8), (4, 2, 8))
    """

    op = lstm
    gates = 4
    states = ("h0", "c0")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        options = num_layers, bias, batch_first, dropout, bidirectional, proj_size, dtype, device
        super().__init__(input_size, hidden_size, *options)

    def _weights(self, end: str) -> list[Any]:
        return [*super()._weights(end), getattr(self, "weight_hr" + end, None)]


class GRU(Recurrent):
    """Gated recurrent units, in one or more layers and directions.

        r, z = σ(W xₜ + b + U hₜ₋₁ + b')       n = tanh(W xₜ + b + r ∘ (U hₜ₋₁ + b'))
        hₜ = (1 - z) ∘ n + z ∘ hₜ₋₁

        y, h = gru(x, state=None, lengths=None)

    Shapes: as `RNN`. Parameters per layer: weight_ih (3H, I), weight_hh (3H, H), bias_ih and
    bias_hh (3H,), gates in the order r z n.
    Arguments, Init, Raises: as `RNN`.
    Paper: Cho et al. 2014, with the reset gate after the product, as cuDNN and PyTorch have it.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> layer = nn.GRU(3, 8, batch_first=True)
    >>> y, h = layer(mg.zeros((2, 5, 3)))
    >>> y.shape, h.shape
    ((2, 5, 8), (1, 2, 8))
    """

    op = gru
    gates = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        options = num_layers, bias, batch_first, dropout, bidirectional, 0, dtype, device
        super().__init__(input_size, hidden_size, *options)
