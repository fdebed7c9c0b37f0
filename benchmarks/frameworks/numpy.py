"""NumPy by hand, without any framework: of the workloads that are nothing but calls."""

from __future__ import annotations

from typing import Any

from benchmarks.workloads import Batch, Weights, Workload

from . import SkipError


class Work:
    """The weights as arrays, and the step of the family's file."""

    def __init__(self, workload: Workload, weights: Weights, options: dict[str, Any]) -> None:
        self.workload, self.options = workload, options
        if hasattr(workload.module, "numpy_parts"):
            return
        if not hasattr(workload.module, "in_numpy"):
            raise SkipError("not written by hand")
        self.run = workload.module.in_numpy(workload.s)
        self.load(weights)

    def load(self, weights: Weights) -> None:
        self.p = {name: array.copy() for name, array in weights.items()}

    def place(self, batch: Batch) -> Batch:
        return batch

    def step(self, *batch: Any) -> float:
        loss, self.found = self.run(self.p, *batch)
        return float(loss)

    def gradients(self) -> Weights:
        return self.found

    def parts(self) -> Any:
        return self.workload.module.numpy_parts(self.workload.s, self.options)
