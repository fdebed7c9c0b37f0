"""MyGrad, with Adam written in NumPy: it brings no optimiser."""

from __future__ import annotations

from typing import Any

import mygrad
import numpy as np
from mygrad.nnet.activations import relu, sigmoid, softmax
from mygrad.nnet.losses import softmax_crossentropy

from .plain import Adam, Ops, PlainWork


class MyGrad(Ops):
    """Its functions."""

    tanh = staticmethod(mygrad.tanh)
    sigmoid = staticmethod(sigmoid)
    relu = staticmethod(relu)
    matmul = batch_matmul = staticmethod(mygrad.matmul)
    cross_entropy = staticmethod(softmax_crossentropy)
    reshape = staticmethod(mygrad.reshape)
    transpose = staticmethod(mygrad.transpose)
    sum = staticmethod(mygrad.sum)

    def leaf(self, array: Any) -> Any:
        return mygrad.tensor(array)

    def take(self, table: Any, ids: Any) -> Any:
        return table[ids]

    def softmax(self, x: Any) -> Any:
        return softmax(x)

    def concat(self, parts: list[Any]) -> Any:
        return mygrad.concatenate(parts, axis=-1)

    def stack(self, parts: list[Any]) -> Any:
        return mygrad.stack(parts, axis=1)

    def mse(self, x: Any, y: Any) -> Any:
        return mygrad.mean((x - y) ** 2)


class Work(PlainWork):
    """Gradients are forgotten by MyGrad itself when their tensors are used again."""

    ops = MyGrad()

    def __init__(self, *given: Any) -> None:
        mygrad.turn_memory_guarding_off()  # as its documentation advises for speed
        super().__init__(*given)

    def prepare(self) -> None:
        self.optimizer = Adam(self.workload.optimizer)

    def step(self, *batch: Any) -> float:
        loss = self.loss(self.p, *batch)
        loss.backward()
        leaves = self.leaves()
        self.optimizer.step([leaf.data for leaf in leaves], [leaf.grad for leaf in leaves])
        return float(loss.data)

    def gradient(self, leaf: Any) -> Any:
        return np.asarray(leaf.grad)
