"""Chainer 7.8, the last one, which needs NumPy 1: give its Python with --python chainer=PATH."""

from __future__ import annotations

from typing import Any

import chainer
import chainer.functions as F

from . import RATE
from .plain import Ops, PlainWork


class Chainer(Ops):
    """Its functions, and its fused recurrent layers."""

    tanh = staticmethod(F.tanh)
    sigmoid = staticmethod(F.sigmoid)
    relu = staticmethod(F.relu)
    matmul = batch_matmul = staticmethod(F.matmul)
    cross_entropy = staticmethod(F.softmax_cross_entropy)
    reshape = staticmethod(F.reshape)
    transpose = staticmethod(F.transpose)
    sum = staticmethod(F.sum)
    mse = staticmethod(F.mean_squared_error)

    def leaf(self, array: Any) -> Any:
        return chainer.Parameter(array)

    def data(self, x: Any) -> Any:
        return x.array

    def add(self, x: Any, y: Any) -> Any:
        return x + F.broadcast_to(y, x.shape)

    def multiply(self, x: Any, y: Any) -> Any:
        return x * F.broadcast_to(y, x.shape)

    def take(self, table: Any, ids: Any) -> Any:
        return F.embed_id(ids, table)

    def softmax(self, x: Any) -> Any:
        return F.softmax(x, axis=-1)

    def concat(self, parts: list[Any]) -> Any:
        return F.concat(parts, axis=-1)

    def stack(self, parts: list[Any]) -> Any:
        return F.stack(parts, axis=1)

    def linear(self, p: Any, name: str, x: Any) -> Any:
        return F.linear(x, F.transpose(p[f"{name}.weight"]), p[f"{name}.bias"])

    def gates(self, p: Any, kind: str, name: str, end: str, x: Any) -> list[Any]:
        weights, biases = (p[f"{name}.{part}_{kind}{end}"] for part in ("weight", "bias"))
        return [F.linear(x, F.transpose(w), b) for w, b in zip(weights, biases, strict=True)]

    def lstm_cell(self, p: Any, name: str, end: str) -> Any:
        """Its fused step, which wants the gates of a unit side by side: g, i, f, o."""

        def together(kind: str) -> Any:
            weights, biases = (
                [p[f"{name}.{part}_{kind}{end}"][gate] for gate in (2, 0, 1, 3)]
                for part in ("weight", "bias")
            )
            w = F.transpose(F.stack(weights, axis=2), (1, 2, 0))  # (H, 4, I)
            return F.reshape(w, (-1, w.shape[2])), F.flatten(F.stack(biases, axis=1))

        of_x, of_h = together("ih"), together("hh")

        def step(x: Any, h: Any, c: Any) -> Any:
            c, h = F.lstm(c, F.linear(x, *of_x) + F.linear(h, *of_h))
            return h, c

        return step


class Work(PlainWork):
    """With its own optimisers."""

    ops = Chainer()

    def prepare(self) -> None:
        link = chainer.Link()
        with link.init_scope():
            for k, leaf in enumerate(self.leaves()):
                setattr(link, f"p{k}", leaf)
        SGD, Adam = chainer.optimizers.SGD, chainer.optimizers.Adam
        self.optimizer = SGD(RATE) if self.workload.optimizer == "SGD" else Adam(RATE)
        self.link = self.optimizer.setup(link).target

    def step(self, *batch: Any) -> float:
        self.link.cleargrads()
        loss = self.loss(self.p, *batch)
        loss.backward()
        self.optimizer.update()
        return float(loss.array)
