"""minigrad: eager or compiled, the batch in one piece or split over threads or processes."""

from __future__ import annotations

import gc
from importlib.util import find_spec
from typing import Any

import numpy as np

import minigrad as mg
from benchmarks.workloads import Batch, Weights, Workload
from minigrad import optim
from minigrad.backend import device_of
from minigrad.engine import RowSparse
from minigrad.parallel import Group
from minigrad.parallel.pieces import batch_size, bounds, cut

from . import RATE, SkipError, names


def need(options: dict[str, Any]) -> None:
    """Raise SkipError if this minigrad, or this environment, lacks what the options ask for."""
    if options.get("device") == "cuda" and (why := mg.cuda.why_not_available()):
        raise SkipError(why)
    if options.get("compiled") and not hasattr(mg, "compile"):
        raise SkipError("this minigrad has no mg.compile")
    if options.get("workers") and not hasattr(mg, "parallel"):
        raise SkipError("this minigrad has no mg.parallel")
    if options.get("fast") and not find_spec("numba"):
        raise SkipError('the fast extra is not installed: pip install "minigrad[fast]"')


class Work:
    """A model of layers, an optimiser, and the step a user would write."""

    def __init__(self, workload: Workload, weights: Weights, options: dict[str, Any]) -> None:
        need(options)
        self.workload, self.options = workload, options
        self.group = options.get("group") or Group()
        if not hasattr(workload.module, "in_minigrad"):
            return
        self.model, self.loss = workload.module.in_minigrad(workload.s)
        self.load(weights)
        self.parameters = list(self.model.parameters())
        rule = {"Adam": optim.Adam, "SGD": optim.SGD}[workload.optimizer]
        self.optimizer = rule(self.parameters, lr=RATE)
        self.run = mg.compile(self.train) if options.get("compiled") else self.train

    def load(self, weights: Weights) -> None:
        self.model.load_state_dict(weights)

    def place(self, batch: Batch) -> Batch:
        kinds = names(self.workload, batch)
        if self.group.size > 1:
            batch, kinds = self.mine(batch), [*kinds, "share"]
        return tuple(
            self.lengths(array) if kind == "lengths" else mg.asarray(array)
            for kind, array in zip(kinds, batch, strict=True)
        )

    def mine(self, batch: Batch) -> Batch:
        """This process's piece of the batch, and which part of the mean loss it counts."""
        module = self.workload.module
        size = batch_size("", batch, module.axes)
        pieces = [cut("", batch, module.axes, *each) for each in bounds(size, self.group.size)]
        counts = [module.shares(*p) if hasattr(module, "shares") else p[-1].size for p in pieces]
        share = np.float32(counts[self.group.rank] / sum(counts))
        return (*map(np.ascontiguousarray, pieces[self.group.rank]), share)

    def lengths(self, array: Any) -> Any:
        """They decide on the host what is computed: a part of what a graph is captured for.

        As a tuple they are constants, so the calls inside a layer are lines of the program.
        """
        constant = self.options.get("device") == "cuda" or self.options.get("alone")
        return tuple(array.tolist()) if constant else array

    def train(self, *batch: Any) -> Any:
        """One step; 16 bits are those of products, which parameters keep apart from."""
        self.optimizer.zero_grad()
        if workers := self.options.get("workers"):
            loss = mg.parallel.backward(
                lambda *part: self.loss(self.model, *part),
                batch,
                axes=self.workload.module.axes,
                params=self.parameters,
                workers=workers,
                weights=getattr(self.workload.module, "shares", None),
            )
        elif self.group.size > 1:
            *piece, share = batch
            loss = self.loss(self.model, *piece) * share
            loss.backward()
            self.group.average(self.optimizer, part=1.0)  # the parts are in the losses
        else:
            with mg.amp.autocast("bfloat16", enabled=self.options.get("bits") == 16):
                loss = self.loss(self.model, *batch)
                loss.backward()
        self.optimizer.step()
        return loss

    def step(self, *batch: Any) -> float:
        """The loss; of several processes the sum, so it ends when all have the updated weights."""
        return self.group.sums(self.run(*batch).item())[0]

    def gradients(self) -> Weights:
        grads = {}
        for name, p in self.model.named_parameters():
            grad = p.grad.to_dense() if isinstance(p.grad, RowSparse) else p.grad.data
            grads[name] = np.array(device_of(grad).to_host(grad), dtype=np.float32)
        return grads

    def memory(self) -> float:
        """MB that are held on the GPU, for eager steps and graphs; nan on the CPU."""
        if self.options.get("device") != "cuda":
            return float("nan")
        return mg.cuda.memory_reserved() / 2**20

    def free(self) -> None:
        """Leave nothing on the GPU to who comes next in this process."""
        vars(self).clear()
        gc.collect()
        if mg.cuda.is_available():
            mg.cuda.empty_cache()

    def parts(self) -> Any:
        if self.options.get("workers") or self.options.get("processes"):
            raise SkipError("there is no batch to split")
        return self.workload.module.minigrad_parts(self.workload.s, self.options)
