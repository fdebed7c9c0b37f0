"""A CUDA kernel, and what it computes in NumPy: one text, launched wherever its arrays are.

A kernel's arguments are arrays (device pointers, in CUDA), whole numbers and numbers. What it is
launched with follows from its first array: a GPU runs the CUDA source, NumPy's arrays and the
strict device's the reference. The signature is read from the source, so the two cannot drift apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigrad.backend.device import Array

FOLDER = Path(__file__).parent
TYPES = {"float16": "half_t", "bfloat16": "bfloat_t", "float32": "float", "float64": "double"}
"""Element type of the arrays → T."""
INTEGERS = {
    "bool": "bool",
    **{
        f"{sign}int{bits}": f"{sign or 'i'}{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
    },
}
"""The same, for the kernels that take whole numbers: sums are modulo 2ⁿ, those of truths are or."""

_SIGNATURE = r'extern "C" __global__ void (?:MG_CLUSTER )?{}\(([^)]*)\)'


class Parameter(NamedTuple):
    """One parameter of a kernel: its C type without const and *, and what it is for."""

    type: str
    name: str
    array: bool
    written: bool


@cache
def read(file: str) -> str:
    """The CUDA text of a file of this folder, with those of this folder that it includes."""
    text = (FOLDER / file).read_text(encoding="utf-8")
    return re.sub(r'^#include "(.+)"$', lambda found: read(found[1]), text, flags=re.MULTILINE)


def source(*kernels: Kernel) -> str:
    """What kernels are compiled from: the prelude, and the texts in which they are."""
    return "\n".join((read("prelude.cuh"), *dict.fromkeys(each.text for each in kernels)))


def computed(dtype: str) -> str:
    """The type in which kernels compute, A, for arrays of `dtype`."""
    if dtype in INTEGERS:
        return "int64" if dtype[0] == "i" else "uint64"
    return "float64" if dtype == "float64" else "float32"


def options(dtype: str) -> tuple[str, ...]:
    """The compiler's definitions of T and A for arrays of `dtype`."""
    types = {**TYPES, **INTEGERS}
    return f"-DMG_T={types[dtype]}", f"-DMG_A={types[computed(dtype)]}"


class Launch(NamedTuple):
    """How many blocks of how many threads, and bytes of shared memory for each block."""

    grid: int
    block: int = 256
    shared: int = 0


class Kernel:
    """The kernel `name` in `file`; `reference(*args)` does the same to NumPy arrays.

    `cooperative`: its blocks meet, so all of them must run at the same time; `cluster`: they meet
    by eights, which the GPU keeps together.
    """

    def __init__(
        self,
        file: str,
        name: str,
        reference: Callable[..., None],
        *,
        cooperative: bool = False,
        cluster: bool = False,
    ) -> None:
        self.file, self.name, self.reference = file, name, reference
        self.cooperative, self.cluster = cooperative, cluster

    def __repr__(self) -> str:
        return f"<kernel {self.name} of {self.file}>"

    @cached_property
    def text(self) -> str:
        """The CUDA text in which it is."""
        return read(self.file)

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """Read from the source."""
        found = re.search(_SIGNATURE.format(self.name), self.text)
        if found is None:
            raise LookupError(f"{self.file} has no kernel {self.name}")
        return tuple(map(_parameter, found[1].split(",")))

    @property
    def barriers(self) -> bool:
        """Whether the threads of a block wait for each other."""
        begin = self.text.index(f" {self.name}(")
        end = self.text.find('extern "C"', begin)
        body = self.text[begin:end]
        return re.search("sync|mg_block_", body) is not None

    def dtype(self, args: tuple[Any, ...]) -> str:
        """The element type of the arrays that are T."""
        for parameter, arg in zip(self.parameters, args, strict=True):
            if parameter.array and parameter.type == "T":
                return np.dtype(arg.dtype).name
        return "float32"  # it has none

    def written(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arrays among `args` that the kernel writes."""
        return tuple(a for p, a in zip(self.parameters, args, strict=True) if p.written)

    def __call__(self, launch: Launch, *args: Any) -> None:
        """Launch it on the device of its first array."""
        if launch.grid:
            LAUNCHERS.get(type(args[0]), _run_reference)(self, launch, args)


def _parameter(text: str) -> Parameter:
    words = text.replace("*", " * ").split()
    array = "*" in words
    kind = next(w for w in words if w not in ("const", "*"))
    return Parameter(kind, words[-1], array, array and "const" not in words)


def _run_reference(kernel: Kernel, launch: Launch, args: tuple[Any, ...]) -> None:
    kernel.reference(*args)


LAUNCHERS: dict[type, Callable[[Kernel, Launch, tuple[Any, ...]], None]] = {}
"""Array type → how its device launches; elsewhere the reference runs."""


def over(count: int) -> Launch:
    """A thread per element, up to 2²⁰ of them; kernels loop over the rest."""
    return Launch(min(-(-count // 256), 4096))


def per_row(rows: int, width: int, itemsize: int) -> Launch:
    """A block for each row, of as many threads as the row has use for."""
    block = min(256, max(32, 1 << (width - 1).bit_length()))
    return Launch(rows, block, block * max(itemsize, 4))


def row(x: Array) -> int:
    """Elements from one row of a matrix to the next, whose rows are contiguous."""
    if x.strides[-1] != x.itemsize and x.shape[-1] > 1 and x.size:
        raise ValueError(f"a kernel needs contiguous rows, got strides {x.strides}")
    return int(x.strides[-2] // x.itemsize)
