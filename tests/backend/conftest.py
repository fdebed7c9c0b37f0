"""A machine with GPUs that is described and not there."""

import sys

import pytest

from minigrad.backend import cuda, gemm
from minigrad.backend.cuda import cublas
from minigrad.backend.kernels import plan
from minigrad.backend.kernels.kernel import LAUNCHERS
from tests.backend import fake_cupy
from tests.backend.fake_cublas import FakeCublas

collect_ignore = ["stand_in"]  # for processes of its own: it takes CuPy's name


@pytest.fixture
def machine(monkeypatch):
    """Call it with the machine's properties; what it registers is forgotten afterwards."""
    module = sys.modules["minigrad.backend.device"]
    tables = (
        module.NAMESPACES, module._DEVICE_OF, module._DEVICES, gemm.GEMMS, gemm.OPERANDS,
        LAUNCHERS, plan.LIMITS, plan.RACES,
    )  # fmt: skip
    for table in tables:
        for key in list(table):  # so that monkeypatch remembers all of it
            monkeypatch.setitem(table, key, table[key])
    before = [dict(t) for t in tables]

    def describe(distributions=("cupy-cuda13x",), **properties):
        cupy = fake_cupy.make(**properties)
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        monkeypatch.setattr(cuda, "_cupy_distributions", lambda: distributions)
        return cupy

    yield describe
    for table, old in zip(tables, before, strict=True):
        for key in set(table) - set(old):
            del table[key]


@pytest.fixture
def blas(monkeypatch):
    fake = FakeCublas()
    monkeypatch.setattr(cublas, "load", lambda: fake)
    return fake
