"""An array of the host, and the same on the strict device."""

import numpy as np
import pytest

from minigrad.backend import device


@pytest.fixture
def h():
    return np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def d(h):
    return device("strict").asarray(h)
