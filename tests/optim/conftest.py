"""Golden values: PyTorch's results, kept for machines without it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def golden() -> dict[str, np.ndarray]:
    text = (Path(__file__).parent / "golden.json").read_text()
    return {key: np.array(values) for key, values in json.loads(text).items()}
