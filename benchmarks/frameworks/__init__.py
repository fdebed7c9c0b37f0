"""How each framework trains: one file each, with a class `Work` in it.

A `Work` has `place(batch)`, the batch as the framework wants it; `step(*batch)`, a whole training
step that returns the loss as a float; `load(weights)`; `gradients()`, those of the last step by
name, in PyTorch's layout; `parts()` of the families that are no training step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

RATE = 1e-3  # of Adam and of SGD, everywhere


class SkipError(Exception):
    """This implementation cannot be measured here; the message says why."""


@dataclass(frozen=True)
class Implementation:
    """A framework in one of its modes: one process."""

    name: str
    framework: str
    title: str
    threads: int = 1  # of BLAS, or of the framework's own pool
    options: dict[str, Any] = field(default_factory=dict)
    on_request: bool = False  # only if named


def names(workload: Any, batch: Any) -> list[str]:
    """What each array of a batch is; lengths stay on the host."""
    return list(getattr(workload.module, "names", [""] * len(batch)))


def _minigrad(name: str, title: str, *, fast: bool = False, **options: Any) -> Implementation:
    return Implementation(name, "minigrad", title, options={**options, "fast": fast})


IMPLEMENTATIONS = {
    i.name: i
    for i in (
        _minigrad("eager", "minigrad"),
        _minigrad("eager-2", "minigrad, batch over 2 threads", workers=2),
        _minigrad("eager-2p", "minigrad, batch over 2 processes", processes=2),
        _minigrad("compiled", "mg.compile", compiled=True),
        _minigrad("compiled-2", "mg.compile, batch over 2 threads", compiled=True, workers=2),
        _minigrad("compiled-2p", "mg.compile, batch over 2 processes", compiled=True, processes=2),
        _minigrad("fast", "mg.compile, fast extra", compiled=True, fast=True),
        _minigrad(
            "fast-2", "mg.compile, fast extra, 2 threads", compiled=True, workers=2, fast=True
        ),
        _minigrad(
            "fast-2p", "mg.compile, fast extra, 2 processes", compiled=True, processes=2, fast=True
        ),
        Implementation("torch-1", "torch", "PyTorch, 1 thread"),
        Implementation("torch-2", "torch", "PyTorch, 2 threads", threads=2),
        Implementation(
            "torch-compile", "torch", "torch.compile, 2 threads", 2, {"compiled": True}, True
        ),
        Implementation("jax", "jax", "JAX jit", threads=2),
        Implementation("chainer", "chainer", "Chainer"),
        Implementation("dezero", "dezero", "DeZero"),
        Implementation("mygrad", "mygrad", "MyGrad"),
    )
}
ON_CUDA = {
    i.name: i
    for i in (
        Implementation("cuda-eager", "minigrad", "minigrad"),
        Implementation("cuda-compiled", "minigrad", "mg.compile", options={"compiled": True}),
        Implementation("cuda-torch", "torch", "PyTorch (cuDNN)"),
        Implementation("cuda-torch-compile", "torch", "torch.compile", options={"compiled": True}),
    )
}
"""The same on a GPU; the sizes come with the workloads of `benchmarks.cuda`."""

ALONE = {
    i.name: i
    for i in (
        _minigrad("alone", "the calls of mg.compile", compiled=True, alone=True),
        _minigrad("alone-2p", "… over 2 processes", compiled=True, alone=True, processes=2),
        Implementation("by-hand", "numpy", "NumPy by hand"),
    )
}
"""What `benchmarks.floors` measures beside the others: NumPy without a framework around it."""

REFERENCE = "torch-2"  # whose loss and gradients are the right ones
PEERS_BEST = ("torch-1", "torch-2")  # a ratio is to the faster of these
