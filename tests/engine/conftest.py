"""What the tests of ops share."""

from __future__ import annotations

import pytest

import minigrad as mg
from minigrad.engine import OPS


@pytest.fixture
def forget_ops():
    """Ops defined by a test do not stay in the table."""
    before = dict(OPS)
    yield
    for name in set(OPS) - set(before):
        del OPS[name]
        delattr(mg.engine.ops, name)
