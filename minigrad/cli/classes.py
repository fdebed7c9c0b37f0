"""Small computations to show in a class, by name: `minigrad draw --model lstm --steps 20`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .. import nn
from ..backend import manual_seed
from ..engine import Tensor
from ..errors import ConfigError
from ..ops import concat, stack, tensor
from .script import Result

F = nn.functional


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large: T steps, B sequences, `features` per step, `hidden` units; 0 layers: as usual."""

    steps: int = 20
    batch: int = 4
    features: int = 8
    hidden: int = 32
    layers: int = 0


class AttentionDecoder(nn.Module):
    """A GRU cell that looks at a memory before each step (Bahdanau et al. 2015)."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.attention = nn.AdditiveAttention(hidden, hidden, hidden)
        self.cell = nn.GRUCell(features + hidden, hidden)

    def forward(self, inputs: Tensor, memory: Tensor, state: Tensor) -> Tensor:
        """inputs (T, B, I), memory (B, S, H), state (B, H) → (T, B, H)."""
        states = []
        for x in inputs:
            context, _ = self.attention(state, memory)
            state = self.cell(concat([x, context], axis=-1), state)
            states.append(state)
        return stack(states)


class Translator(nn.Module):
    """A GRU reads, a GRU with attention writes."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.encoder = nn.GRU(features, hidden, batch_first=True)
        self.decoder = AttentionDecoder(features, hidden)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """source (B, S, I), target (T, B, I) → (T, B, H)."""
        memory, state = self.encoder(source)
        return self.decoder(target, memory, state[0])


def _recurrent(kind: Any) -> Callable[[Sizes], Result]:
    def build(s: Sizes) -> Result:
        model = kind(s.features, s.hidden, num_layers=s.layers or 1)
        x, y = _numbers(s.steps, s.batch, s.features), _numbers(s.batch, s.hidden, seed=1)
        output, _ = model(x)
        return Result(F.mse_loss(output[-1], y), model, {"x": x, "y": y})

    return build


def _bilstm(s: Sizes) -> Result:
    model = nn.LSTM(s.features, s.hidden, num_layers=s.layers or 1, bidirectional=True)
    x = _numbers(s.steps, s.batch, s.features)
    y = _numbers(s.steps, s.batch, 2 * s.hidden, seed=1)
    output, _ = model(x)
    return Result(F.mse_loss(output, y), model, {"x": x, "y": y})


def _attention(s: Sizes) -> Result:
    model = Translator(s.features, s.hidden)
    source = _numbers(s.batch, s.steps, s.features)
    target = _numbers(s.steps, s.batch, s.features, seed=1)
    y = _numbers(s.steps, s.batch, s.hidden, seed=2)
    loss = F.mse_loss(model(source, target), y)
    return Result(loss, model, {"source": source, "target": target, "y": y})


def _mlp(s: Sizes) -> Result:
    sizes = [s.features, *[s.hidden] * (s.layers or 2)]
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.Tanh()]
    model = nn.Sequential(*layers, nn.Linear(s.hidden, 1))
    x, y = _numbers(s.batch, s.features), _numbers(s.batch, 1, seed=1)
    return Result(F.mse_loss(model(x), y), model, {"x": x, "y": y})


def _transformer(s: Sizes) -> Result:
    heads = next(n for n in (4, 2, 1) if s.hidden % n == 0)
    layer = nn.TransformerEncoderLayer(s.hidden, heads, 4 * s.hidden, dropout=0.0)
    model = nn.TransformerEncoder(layer, s.layers or 4)
    x, y = (_numbers(s.steps, s.batch, s.hidden, seed=i) for i in (0, 1))
    return Result(F.mse_loss(model(x), y), model, {"x": x, "y": y})


MODELS: dict[str, Callable[[Sizes], Result]] = {
    "attention": _attention,
    "bilstm": _bilstm,
    "gru": _recurrent(nn.GRU),
    "lstm": _recurrent(nn.LSTM),
    "mlp": _mlp,
    "rnn": _recurrent(nn.RNN),
    "transformer": _transformer,
}


def example(name: str, sizes: Sizes, seed: int = 0) -> Result:
    """The loss of the model of that name on random numbers.

    Raises: ConfigError if a size is less than 1.
    """
    for what in ("steps", "batch", "features", "hidden"):
        if getattr(sizes, what) < 1:
            raise ConfigError(f"--{what} is {getattr(sizes, what)}; expected at least 1")
    if sizes.layers < 0:
        raise ConfigError(f"--layers is {sizes.layers}; expected at least 1")
    manual_seed(seed)
    return MODELS[name](sizes)


def _numbers(*shape: int, seed: int = 0) -> Tensor:
    return tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))
