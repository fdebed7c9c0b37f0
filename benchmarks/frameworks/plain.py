"""What the frameworks that work op by op share: layers written out, weights split into gates.

Weights are kept as these frameworks want them: (inputs, outputs), and a list with one matrix per
gate, as in DeZero's own LSTM. Gradients are put together again in PyTorch's layout.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from benchmarks.workloads import Batch, Weights, Workload

from . import RATE, SkipError


class Ops:
    """The ops of a framework; a subclass fills in what is missing."""

    def leaf(self, array: Any) -> Any:
        """A variable of this value."""
        raise NotImplementedError

    def data(self, x: Any) -> Any:
        return x.data

    def add(self, x: Any, y: Any) -> Any:
        return x + y

    def multiply(self, x: Any, y: Any) -> Any:
        return x * y

    def total(self, parts: list[Any]) -> Any:
        return sum(parts[1:], parts[0])

    def mean(self, parts: list[Any]) -> Any:
        return self.total(parts) * (1 / len(parts))

    def linear(self, p: Any, name: str, x: Any) -> Any:
        return self.matmul(x, p[f"{name}.weight"]) + p[f"{name}.bias"]

    def gates(self, p: Any, kind: str, name: str, end: str, x: Any) -> list[Any]:
        """x W + b of each gate; kind: "ih" or "hh"."""
        weights, biases = (p[f"{name}.{part}_{kind}{end}"] for part in ("weight", "bias"))
        return [self.matmul(x, w) + b for w, b in zip(weights, biases, strict=True)]

    def lstm_cell(self, p: Any, name: str, end: str) -> Any:
        """A function of x, h and c that gives the next h and c."""

        def step(x: Any, h: Any, c: Any) -> Any:
            new, old = self.gates(p, "ih", name, end, x), self.gates(p, "hh", name, end, h)
            i, f, g, o = (a + b for a, b in zip(new, old, strict=True))
            c = self.sigmoid(f) * c + self.sigmoid(i) * self.tanh(g)
            return self.sigmoid(o) * self.tanh(c), c

        return step

    def lstm(self, p: Any, name: str, end: str, steps: list[Any], lengths: Any = None) -> list[Any]:
        """h of each step; backwards, from each sequence's end, if the weights end in _reverse."""
        hidden = self.data(p[f"{name}.bias_hh{end}"][0]).size
        h = c = self.leaf(np.zeros((len(steps[0]), hidden), np.float32))
        cell, reverse = self.lstm_cell(p, name, end), end.endswith("_reverse")
        outputs = []
        for t in reversed(range(len(steps))) if reverse else range(len(steps)):
            h, c = cell(steps[t], h, c)
            if reverse and lengths is not None and (lengths <= t).any():
                inside = self.leaf((t < lengths)[:, None].astype(np.float32))
                h, c = self.multiply(h, inside), self.multiply(c, inside)
            outputs.append(h)
        return outputs[::-1] if reverse else outputs

    def gru(self, p: Any, name: str, end: str, steps: list[Any]) -> list[Any]:
        """h of each step."""
        hidden = self.data(p[f"{name}.bias_hh{end}"][0]).size
        h = self.leaf(np.zeros((len(steps[0]), hidden), np.float32))
        outputs = []
        for x in steps:
            rx, zx, nx = self.gates(p, "ih", name, end, x)
            rh, zh, nh = self.gates(p, "hh", name, end, h)
            z, n = self.sigmoid(zx + zh), self.tanh(nx + self.sigmoid(rx + rh) * nh)
            h = n + z * (h - n)
            outputs.append(h)
        return outputs

    def __getattr__(self, name: str) -> Any:
        raise SkipError(f"{type(self).__name__} has no {name}")


RECURRENT = re.compile(r"(weight|bias)_[ih]h")
TABLE = "embedding.weight"


class PlainWork:
    """The weights as leaves, and the optimiser of the subclass."""

    ops: Ops

    def __init__(self, workload: Workload, weights: Weights, options: dict[str, Any]) -> None:
        self.workload, self.options = workload, options
        if not hasattr(workload.module, "in_plain"):
            return
        self.loss = workload.module.in_plain(self.ops, workload.s)
        self.gates = {
            name: (4 if "lstm" in name or "rnn" in name or "cell" in name else 3)
            for name in weights
            if RECURRENT.search(name)
        }
        self.p: dict[str, Any] = {}
        self.load(weights)
        self.prepare()

    def prepare(self) -> None:
        """Make the optimiser."""

    def stored(self, name: str, array: Any) -> Any:
        """The arrays in which a weight is kept."""
        if name in self.gates:
            parts = np.split(array, self.gates[name])
            return [np.array(part.T, order="C") for part in parts]
        turned = array.ndim == 2 and not name.endswith(TABLE)
        return np.array(array.T if turned else array, order="C")

    def leaves(self) -> list[Any]:
        """All variables."""
        return [leaf for p in self.p.values() for leaf in (p if isinstance(p, list) else [p])]

    def load(self, weights: Weights) -> None:
        for name, array in weights.items():
            new, old = self.stored(name, array), self.p.get(name)
            if old is None:
                many = isinstance(new, list)
                self.p[name] = [self.ops.leaf(a) for a in new] if many else self.ops.leaf(new)
                continue
            variables, values = (v if isinstance(v, list) else [v] for v in (old, new))
            for variable, value in zip(variables, values, strict=True):
                self.ops.data(variable)[...] = value

    def gradients(self) -> Weights:
        found = {}
        for name, p in self.p.items():
            if isinstance(p, list):
                found[name] = np.concatenate([self.gradient(leaf).T for leaf in p])
                continue
            g = self.gradient(p)
            found[name] = np.array(g.T if g.ndim == 2 and not name.endswith(TABLE) else g)
        return found

    def gradient(self, leaf: Any) -> Any:
        """As an array."""
        return leaf.grad

    def place(self, batch: Batch) -> Batch:
        return getattr(self.workload.module, "by_length", tuple)(batch)

    def parts(self) -> Any:
        return self.workload.module.plain_parts(self.ops, self.workload.s)


class Adam:
    """Kingma & Ba 2015, or SGD, on NumPy arrays, for those who bring no optimiser."""

    def __init__(self, kind: str) -> None:
        self.kind, self.t = kind, 0
        self.moments: dict[int, Any] = {}

    def step(self, arrays: list[Any], gradients: list[Any]) -> None:
        """Write the new values."""
        self.t += 1
        for k, (p, g) in enumerate(zip(arrays, gradients, strict=True)):
            if self.kind == "SGD":
                p -= RATE * g
                continue
            m, v = self.moments.setdefault(k, (np.zeros_like(p), np.zeros_like(p)))
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            rate = RATE * (1 - 0.999**self.t) ** 0.5 / (1 - 0.9**self.t)
            p -= rate * m / (np.sqrt(v) + 1e-8)
