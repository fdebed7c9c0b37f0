"""`Group`: processes that train one model together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import numpy as np

from ..backend import Array, device, device_of, get_rng_state, set_rng_state
from ..backend.random import Streams, streams_apart
from ..engine import Tensor, before_replay, kernel, recording
from ..engine.arena import Arena
from ..engine.homes import arenas
from ..errors import ConfigError

Params = Any


class Group:
    """The processes that train one model together: this one alone. See `run` and `start`.

    Every process holds the whole model and computes on its share of each batch; their gradients are
    averaged, so all of them make the same update. What one does, all must do, in the same order.

    Attributes:
        rank: the number of this process, from 0.
        size: how many there are.
    """

    rank = 0
    size = 1
    _kept: tuple[tuple[int, ...], list[Arena]] = ((), [])

    @property
    def main(self) -> bool:
        """Whether this is the process that prints and writes files: rank 0."""
        return self.rank == 0

    @property
    def shard(self) -> tuple[int, int]:
        """(rank, size): what a DataLoader and a BlockDataset take as `shard`."""
        return self.rank, self.size

    # -- what a kind of group does in its own way ------------------------------------------------

    def all_reduce(self, array: Array) -> None:
        """Replace a contiguous array by its sum over the processes, in place."""

    def broadcast(self, array: Array) -> None:
        """Replace a contiguous array by rank 0's, in place."""

    def gather(self, value: Any) -> list[Any]:
        """The `value` of each process, in the order of ranks. Plain data and host arrays."""
        return [value]

    def barrier(self) -> None:
        """Wait until all processes have come here."""

    def close(self) -> None:
        """Leave the group."""

    # -- what follows -----------------------------------------------------------------------------

    def share(self, value: Any) -> Any:
        """Rank 0's `value`, for all."""
        return self.gather(value if self.main else None)[0]

    def sums(self, *numbers: float) -> list[float]:
        """The sum of each number over the processes."""
        if self.size == 1:
            return [float(n) for n in numbers]
        array = np.array(numbers, dtype=np.float64)
        self.all_reduce(array)
        return [float(n) for n in array]

    def synchronize(self, tensors: Iterable[Tensor]) -> None:
        """Give all processes rank 0's parameters, buffers and random numbers: before training."""
        if self.size > 1:
            for t in tensors:
                values = t.device.xp.ascontiguousarray(t.data)
                self.broadcast(values)
                t.assign_(values)
            set_rng_state(self.share(get_rng_state()))

    def average(
        self, params: Params, weight: float | None = None, *, part: float | None = None
    ) -> None:
        """Replace the gradients by their mean over the processes: once per step, after backward.

        The gradients of all parameters of a device and dtype are one flat array (see `Arena`), so
        this is one all-reduce. A parameter that has a gradient on any process gets one on all; a
        RowSparse becomes dense, so an optimiser then updates all rows.
        In `mg.compile` it is a line of the program; there, all weights are equal.

        Args:
            params: the Tensors that are trained; or the optimiser that updates them, which is best.
            weight: how much this process's gradient counts: the examples (or the tokens) that its
                loss is a mean of. None: all alike.
            part: the same as a fraction of the sum of all weights, where it is known.

        Raises: ConfigError if the weights sum to nothing, or for a weight in `mg.compile`.
        """
        if self.size == 1:
            return
        factor = 1 / self.size if part is None else part
        if weight is not None:
            if recording():
                raise ConfigError("average: a weight is asked of all processes; not in mg.compile")
            factor = self.part(weight, *self.sums(weight))
        for arena in self._arenas(params):
            kernel(self._mean, arena.gather(missing=True), factor)

    @staticmethod
    def part(weight: float, total: float) -> float:
        """weight / total. Raises: ConfigError if there is nothing to be a part of."""
        if not total > 0:
            raise ConfigError(f"average: the weights sum to {total}, expected more than 0")
        return weight / total

    def _mean(self, flat: Array, factor: float) -> None:
        flat = self.ready(flat)
        if not factor:
            flat[...] = 0  # a stand-in's gradient does not count, whatever it is
        elif factor != 1:
            flat *= factor
        self.all_reduce(flat)

    def ready(self, flat: Array) -> Array:
        """An array that can be communicated; a stand-in says here that it cannot be followed."""
        return np.asarray(flat) if device_of(flat).kind == "cpu" else flat

    def _arenas(self, params: Params) -> list[Arena]:
        if hasattr(params, "arenas"):
            return list(params.arenas)
        if hasattr(params, "param_groups"):
            params = [p for group in params.param_groups for p in group["params"]]
        tensors = [p for p in params if p.requires_grad]
        key = tuple(map(id, tensors))
        if self._kept[0] != key or not all(arena.intact() for arena in self._kept[1]):
            self._kept = key, arenas(tensors)
        return self._kept[1]

    @contextmanager
    def streams(self) -> Iterator[None]:
        """Draw from random streams of this rank inside: dropout differs from process to process.

        They are seeded by (a number drawn from the process's stream, rank), so the processes'
        own streams stay alike, and one state of them is that of the whole run.
        """
        if self.size == 1:
            yield
            return
        apart = Streams()

        def reseed() -> None:
            seed = int(device("cpu").rng.integers(0, 1 << 62))
            apart.manual_seed(int(np.random.SeedSequence((seed, self.rank)).generate_state(1)[0]))

        before_replay(reseed)
        with streams_apart(apart):
            yield

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:  # else the others still have to learn of it
            self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(rank {self.rank} of {self.size})"


@contextmanager
def on_host(what: str, array: Array) -> Iterator[Array]:
    """The numbers of a contiguous array, flat, as NumPy's; what is written there is the array's."""
    place = device_of(array)
    host = place.to_host(array)
    if not host.flags.c_contiguous:
        raise ConfigError(f"{what}: the array must be contiguous")
    yield host.reshape(-1)
    if host is not array:
        array[...] = place.asarray(host)


def start(kind: str | None = None, **options: Any) -> Group:
    """Join the processes that run this program together.

        mpiexec -n 2 python train.py

    Args:
        kind: "mpi" (through mpi4py), "nccl" (GPUs: one process for each), or None: this process is
            alone, and everything that a Group does costs nothing.
        options: see `MPI` and `NCCL`.

    Raises: ConfigError for another kind; MissingExtraError without the packages it needs.

    >>> import minigrad as mg
    >>> group = mg.parallel.start()
    >>> group.rank, group.size, group.main
    (0, 1, True)
    """
    if kind is None:
        return Group()
    if kind == "mpi":
        from .mpi import MPI

        return MPI(**options)
    if kind == "nccl":
        from .nccl import NCCL

        return NCCL(**options)
    raise ConfigError(f"parallel.start: kind is {kind!r}, expected 'mpi', 'nccl' or None")
