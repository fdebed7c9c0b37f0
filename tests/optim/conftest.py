"""Golden values: PyTorch's results, kept for machines without it; and its default dtype."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def golden() -> dict[str, np.ndarray]:
    text = (Path(__file__).parent / "golden.json").read_text()
    return {key: np.array(values) for key, values in json.loads(text).items()}


@pytest.fixture(autouse=True)
def _default_dtype() -> Iterator[None]:
    """What `Theirs` sets comes back."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_default_dtype(sys.modules["torch"].float32)
