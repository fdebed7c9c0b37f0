"""In which ways a GPU can take all steps of a recurrent layer in one launch, and which it takes.

The weights of all hidden units must fit the shared memory of the multiprocessors at once: a block
has J of the units, and nearly all of its multiprocessor's shared memory, so one block runs on each.
Whether that is faster than a product and a kernel per step depends on the GPU and the sizes, so it
is tried: before the first of a kind, a few steps are done in all ways, as graphs, on numbers made
up for it; see `RACES`. Runs of less than SHORT steps are not tried; what a GPU refuses, or computes
wrongly, is not taken.

MINIGRAD_PERSISTENT=1 takes it wherever it can run, 0 nowhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from typing import NamedTuple

from minigrad.backend.device import Array
from minigrad.backend.device_gemm import current_precision
from minigrad.backend.kernels.kernel import Launch
from minigrad.backend.threads import in_branch

SHORT = 4  # steps below which nothing is tried
WARPS = 8  # of a block
PAD = 8  # numbers after a row of weights for tensor cores, as in persist.cu


class Limits(NamedTuple):
    """What a GPU has: multiprocessors, bytes of shared memory for a block, clusters of blocks.

    `cooperative`: whether blocks of one launch may wait for each other. `tensor`: whether its
    tensor cores multiply bfloat16 and float16.
    """

    multiprocessors: int
    shared: int
    clusters: bool = False
    cooperative: bool = True
    tensor: bool = True


LIMITS: dict[type, Callable[[], Limits]] = {}
"""Array type → the limits of the current device; types that are not here have no such kernel."""

Ways = list[Callable[[], Array]]
RACES: dict[type, Callable[[Hashable, Callable[[], Ways]], int]] = {}
"""Array type → race(kind, ways): which of several functions that compute the same is right and the
fastest on the current device. `ways()` makes them when the kind is new; the last one is right."""


class Kind(NamedTuple):
    """What is to be done: steps of a cell with `gates` rows of weights for each of H hidden units.

    `way` is forward or backward, `groups` the number of 32s of sequences, `operand` what tensor
    cores multiply, or None, `beside` whether another branch has the GPU's other half.
    """

    cell: str
    gates: int
    way: str
    H: int
    groups: int
    dtype: str
    operand: str | None
    beside: bool


class Plan(NamedTuple):
    """J units per block, splits of each sum, and by clusters or by the whole grid."""

    J: int
    splits: int
    launch: Launch
    cluster: bool
    operand: str | None


def operand(limits: Limits, x: Array) -> str | None:
    """What tensor cores would multiply for a state x (H, n): its own halves, or rounded to them."""
    name = current_precision() if x.dtype.name == "float32" else x.dtype.name
    fits = limits.tensor and x.shape[0] % 16 == 0
    return name if fits and name in ("float16", "bfloat16") else None


def plans(limits: Limits, kind: Kind) -> list[Plan]:
    """The ways to divide the units and the sequences in which the weights fit.

    Clusters of eight blocks for 32 sequences each: they meet quickly, but are few multiprocessors.
    The whole grid for all sequences: the other way round. Half the grid, or a quarter: every block
    reads what all tell, so fewer read less. Two grids side by side have half the multiprocessors
    each, so that neither waits for blocks for which the other has left no room.
    """
    found: dict[tuple[bool, int], Plan] = {}
    most = limits.multiprocessors // (2 if kind.beside else 1)
    grids = [(False, most // part) for part in (1, 2, 4) if most >= part]
    wide, unit = 8 if kind.dtype == "float64" else 4, 8 if kind.operand else 4
    for cluster, blocks in [(True, 8)] * limits.clusters + grids * limits.cooperative:
        J = unit * -(-kind.H // (unit * blocks))
        forward = kind.way == "forward"
        rows, depth = (kind.gates * J, kind.H) if forward else (J, kind.gates * kind.H)
        weights = 2 * rows * (depth + PAD) if kind.operand else wide * rows * depth
        groups = 1 if cluster else kind.groups  # each a warp's
        part = wide * rows * 32 * groups  # of the sums, beside the weights
        tasks = groups * -(-rows // 32)  # of warps, each the whole sum
        splits = min(max(1, WARPS // tasks), (limits.shared - weights) // part)
        if splits > 0:
            grid = 8 * kind.groups if cluster else -(-kind.H // J)
            launch = Launch(grid, 32 * WARPS, weights + splits * part)
            found[cluster, J] = Plan(J, splits, launch, cluster, kind.operand)
    return list(found.values())


def chosen(
    cell: str, gates: int, way: str, x: Array, n: int, steps: int,
    ways: Callable[[list[Plan], Array, int], Ways],
) -> Plan | None:  # fmt: skip
    """How to run `steps` steps of x (H, n) in one launch; None where another way is better."""
    limits, wanted = LIMITS.get(type(x)), os.environ.get("MINIGRAD_PERSISTENT")
    if limits is None or wanted == "0":
        return None
    gpu = limits()
    dtype = x.dtype.name
    kind = Kind(cell, gates, way, x.shape[0], -(-n // 32), dtype, operand(gpu, x), in_branch())
    found = plans(gpu, kind)
    if wanted == "1" or not found:
        return found[0] if found else None
    race = RACES.get(type(x))
    if race is None or steps < SHORT:
        return None
    return dict(enumerate(found)).get(race(kind, lambda: ways(found, x, n)))
