"""The tests for hardware, without it: CuPy, its streams, graphs and kernels stood in for.

All of `backend.cuda` runs here (devices, products through the arguments of cuBLAS, launches,
captures, feeds); what computes is NumPy. So a name that is wrong does not wait for a GPU.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ml_dtypes")
STAND_IN = Path(__file__).with_name("stand_in")
LEFT_OUT = (  # files, and what only hardware can say
    "not examples and not test_kernels and not out_of_memory and not dlpack and not synchronisation"
    " and not committed_table"
)


def test_the_first_look():
    env = os.environ | {"PYTHONPATH": f"{STAND_IN}{os.pathsep}{STAND_IN.parents[2]}"}
    command = [sys.executable, "-m", "minigrad", "gpu"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.count("  works  ") == 12
    assert "captured" not in ran.stderr


FILES = ["tests/test_on_gpu.py", "tests/backend/test_gpu.py", "tests/parallel/test_nccl.py"]


@pytest.mark.parametrize("file", FILES)
def test_what_runs_on_hardware_runs_here(file):
    command = ["-m", "pytest", "-q", "-n0", "-m", "gpu", "-k", LEFT_OUT, "-p", "no:cacheprovider"]
    env = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    ran = subprocess.run(
        [sys.executable, *command, file],
        capture_output=True,
        text=True,
        check=False,
        env=env | {"MINIGRAD_GPU_TESTS": "cuda", "PYTHONPATH": str(STAND_IN)},
    )
    assert ran.returncode == 0, ran.stdout[-3000:]
    assert " passed" in ran.stdout
