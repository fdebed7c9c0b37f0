"""Training on all cores, and on several machines.

`backward` divides a batch over the threads of this process; `start` joins the processes that
`mpiexec` has started.
"""

from .batch import backward
from .group import Group, start
from .mpi import MPI

__all__ = ["MPI", "Group", "backward", "start"]
