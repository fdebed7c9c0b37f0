"""`minigrad gpu`, with the strict device for a GPU."""

import logging

import numpy as np
import pytest

from minigrad.backend import cuda
from minigrad.cli import main
from minigrad.cli.gpu import CHECKS, gpu
from minigrad.errors import DeviceError


@pytest.fixture
def there(monkeypatch):
    monkeypatch.setattr(cuda, "why_not_available", lambda: None)
    monkeypatch.setattr(cuda, "memory_summary", lambda: "a GPU")
    monkeypatch.delitem(CHECKS, "products of bfloat16", raising=False)  # the strict device has none


def test_it_works(there, caplog):
    first, *lines, last = gpu("strict")
    assert first == "a GPU"
    assert lines == [f"  works  {name}" for name in CHECKS]
    assert "pytest -m gpu" in last
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


def test_what_fails_is_named(there, monkeypatch):
    monkeypatch.setitem(CHECKS, "random numbers", lambda where: np.ones(3) * (where == "cpu"))
    lines: list[str] = []
    with pytest.raises(DeviceError, match=f"1 of {len(CHECKS)} checks failed on strict"):
        lines.extend(gpu("strict"))
    (wrong,) = (line for line in lines if "FAILS" in line)
    assert wrong.startswith("  FAILS  random numbers: AssertionError")


def test_without_one(monkeypatch, capsys):
    monkeypatch.setattr(cuda, "why_not_available", lambda: "no NVIDIA driver: install one")
    assert main(["gpu"]) == 2
    assert capsys.readouterr().err == "minigrad gpu: no NVIDIA driver: install one\n"
