"""Training on all cores, and on several machines.

`backward` divides a batch over the threads of this process; `run` forks processes that share
memory; `start` joins those that `mpiexec` has started, through MPI, or NCCL for GPUs.
"""

from .batch import backward
from .forked import Forked, run
from .group import Group, start
from .mpi import MPI
from .nccl import NCCL

__all__ = ["MPI", "NCCL", "Forked", "Group", "backward", "run", "start"]
