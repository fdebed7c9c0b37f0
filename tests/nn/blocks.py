"""A model with parameters, buffers and modules in every kind of place."""

from __future__ import annotations

import numpy as np

import minigrad as mg
from minigrad import nn


class Block(nn.Module):
    def __init__(self, n=2):
        super().__init__()
        self.scale = nn.Parameter(np.full(n, 2.0, np.float32))
        self.inner = nn.Linear(n, n)
        self.shift = nn.Parameter(np.zeros(n, np.float32))
        self.register_buffer("mean", mg.zeros(n))
        self.register_buffer("cache", mg.ones(n), persistent=False)
        self.register_buffer("nothing", None)

    def forward(self, x):
        return self.inner(x) * self.scale + self.shift - self.mean


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Block()
        self.layers = [nn.Linear(2, 2), nn.Dropout(0.5)]
        self.heads = {"a": nn.Linear(2, 3), "b": (nn.Linear(2, 1), nn.Tanh())}
        self.gates = [nn.Parameter(np.ones(2, np.float32)), nn.Parameter(np.ones(1, np.float32))]
        self.words = ["the", "a"]

    def forward(self, x):
        x = self.first(x)
        for layer in self.layers:
            x = layer(x)
        return self.heads["a"](x * self.gates[0])


NAMES = [
    "gates.0",
    "gates.1",
    "first.scale",
    "first.shift",
    "first.inner.weight",
    "first.inner.bias",
    "layers.0.weight",
    "layers.0.bias",
    "heads.a.weight",
    "heads.a.bias",
    "heads.b.0.weight",
    "heads.b.0.bias",
]
