"""What is measured. A family is one file with the same model written once per framework.

A family has `shapes(size)`, the names and shapes of its weights, which are PyTorch's; `batch(size,
rng)`, a tuple of arrays; and what computes the loss: `in_minigrad(size)` and `in_torch(size)`, a
module and a function `loss(module, *batch)`; `in_jax(size)` and `in_plain(F, size)`, a function
`loss(p, *batch)` of the weights by name, `F` being a framework that works op by op. A family that
is no training step has `minigrad_parts(size, options)` and so on: see `small_ops`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np

Batch = tuple[Any, ...]
Weights = dict[str, Any]


@dataclass(frozen=True)
class Workload:
    """A training step, or a family of small measurements, at given sizes."""

    name: str
    title: str
    family: str
    size: dict[str, int]
    optimizer: str = "Adam"

    @property
    def module(self) -> Any:
        """The family's file."""
        return import_module(f"benchmarks.workloads.{self.family}")

    @property
    def s(self) -> SimpleNamespace:
        """The sizes as attributes: s.B."""
        return SimpleNamespace(**self.size)

    def resized(self, **sizes: int) -> Workload:
        """The same at other sizes."""
        return replace(self, size={**self.size, **sizes})

    def weights(self, seed: int = 1) -> Weights:
        """Weights in PyTorch's layout, the same for everybody."""
        rng = np.random.default_rng(seed)
        shapes = self.module.shapes(self.s).items()
        return {name: _draw(rng, name, shape) for name, shape in shapes}

    def batches(self, seed: int = 2, count: int = 4) -> list[Batch]:
        """A few batches to go round."""
        rng = np.random.default_rng(seed)
        return [self.module.batch(self.s, rng) for _ in range(count)]


def _draw(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> Any:
    if "embedding" in name:
        return rng.standard_normal(shape, np.float32)
    bound = 1 / np.sqrt(shape[-1])
    shift = 1 if "norm" in name and name.endswith("weight") else 0
    return (shift + rng.uniform(-bound, bound, shape)).astype(np.float32)


WORKLOADS = {
    w.name: w
    for w in (
        Workload("W1", "character language model", "language_model",
                 {"V": 65, "E": 64, "H": 128, "L": 1, "B": 32, "T": 64}),
        Workload("W2", "word language model", "language_model",
                 {"V": 10_000, "E": 256, "H": 512, "L": 2, "B": 20, "T": 35}),
        Workload("W3", "BiLSTM tagger, lengths 5-50", "tagger",
                 {"V": 5_000, "E": 100, "H": 100, "C": 17, "B": 32, "shortest": 5, "T": 50}),
        Workload("W4", "seq2seq with additive attention", "seq2seq",
                 {"V": 1_000, "E": 128, "H": 128, "B": 32, "S": 20, "T": 20}),
        Workload("W5", "MNIST row by row", "rows",
                 {"I": 28, "T": 28, "H": 128, "C": 10, "B": 128}),
        Workload("W6", "tiny MLP, SGD", "mlp",
                 {"I": 2, "H": 16, "O": 1, "B": 32}, optimizer="SGD"),
        Workload("W7", "Transformer encoder block", "transformer",
                 {"D": 128, "heads": 4, "F": 512, "T": 64, "B": 16}),
        Workload("W8", "small ops, 8 x 8, per op", "small_ops", {"N": 8, "chain": 50}),
        Workload("sampler", "character sampler, per character", "sampler",
                 {"V": 65, "E": 64, "H": 128, "length": 200}),
    )
}  # fmt: skip


def recurrent(name: str, gates: int, inputs: int, hidden: int, *ends: str) -> Iterator[Any]:
    """The names and shapes of a recurrent layer's or cell's weights."""
    for end in ends:
        yield f"{name}.weight_ih{end}", (gates * hidden, inputs)
        yield f"{name}.weight_hh{end}", (gates * hidden, hidden)
        yield f"{name}.bias_ih{end}", (gates * hidden,)
        yield f"{name}.bias_hh{end}", (gates * hidden,)


def linear(name: str, inputs: int, outputs: int, *, bias: bool = True) -> Iterator[Any]:
    """The names and shapes of a linear layer's weights."""
    yield f"{name}.weight", (outputs, inputs)
    if bias:
        yield f"{name}.bias", (outputs,)
