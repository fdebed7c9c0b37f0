"""Training on all cores, and on several machines.

`backward` divides a batch over the threads of this process; `start` joins the processes that
`mpiexec` has started, through MPI, or NCCL for GPUs.
"""

from .batch import backward
from .group import Group, start
from .mpi import MPI
from .nccl import NCCL

__all__ = ["MPI", "NCCL", "Group", "backward", "start"]
