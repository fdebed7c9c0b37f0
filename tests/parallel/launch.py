"""How the tests start `tests/parallel/ranks.py` in several processes."""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MPIEXEC = shutil.which("mpiexec", path=sysconfig.get_path("scripts")) or shutil.which("mpiexec")
needs_mpi = pytest.mark.skipif(
    MPIEXEC is None or importlib.util.find_spec("mpi4py") is None,
    reason="mpi4py or mpiexec is missing: pip install mpi4py mpich",
)


def launch(size, *arguments, timeout=120):
    return subprocess.run(
        [MPIEXEC, "-n", str(size), sys.executable, "-m", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "MINIGRAD_NUM_THREADS": "1"},
    )  # fmt: skip


def ranks_of_mpi(size, case, folder):
    done = launch(size, "tests.parallel.ranks", case, str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
