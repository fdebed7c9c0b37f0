"""DeZero, whose 0.0.13 was written for NumPy 1 and Python 3.7."""

from __future__ import annotations

from typing import Any

import dezero
import dezero.functions as F

from . import RATE
from .plain import Ops, PlainWork


class DeZero(Ops):
    """Its functions. It cannot join variables or multiply batches of matrices."""

    tanh = staticmethod(F.tanh)
    sigmoid = staticmethod(F.sigmoid)
    relu = staticmethod(F.relu)
    matmul = staticmethod(F.matmul)
    softmax = staticmethod(F.softmax)
    cross_entropy = staticmethod(F.softmax_cross_entropy)
    reshape = staticmethod(F.reshape)
    sum = staticmethod(F.sum)

    def leaf(self, array: Any) -> Any:
        return dezero.Parameter(array)

    def linear(self, p: Any, name: str, x: Any) -> Any:
        return F.linear(x, p[f"{name}.weight"], p[f"{name}.bias"])

    def gates(self, p: Any, kind: str, name: str, end: str, x: Any) -> list[Any]:
        weights, biases = (p[f"{name}.{part}_{kind}{end}"] for part in ("weight", "bias"))
        return [F.linear(x, w, b) for w, b in zip(weights, biases, strict=True)]

    def take(self, table: Any, ids: Any) -> Any:
        return F.embed_id(ids, table)

    def mse(self, x: Any, y: Any) -> Any:
        return F.mean_squared_error(x, dezero.Variable(y))  # over rows: the same for one column


class Work(PlainWork):
    """With its own optimisers."""

    ops = DeZero()

    def prepare(self) -> None:
        SGD, Adam = dezero.optimizers.SGD, dezero.optimizers.Adam
        self.optimizer = SGD(RATE) if self.workload.optimizer == "SGD" else Adam(RATE)
        self.optimizer.target = self
        self.params = self.leaves

    def step(self, *batch: Any) -> float:
        for leaf in self.leaves():
            leaf.cleargrad()
        loss = self.loss(self.p, *batch)
        loss.backward()
        self.optimizer.update()
        return float(loss.data)

    def gradient(self, leaf: Any) -> Any:
        return leaf.grad.data
