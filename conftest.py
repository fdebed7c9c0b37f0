"""What all tests share: names for docstring examples, and the skip of tests that need a GPU."""

from __future__ import annotations

import warnings

import hypothesis
import pytest

# The same examples in every run, and no deadline: a busy machine is not a failure
hypothesis.settings.register_profile("minigrad", deadline=None, derandomize=True)
hypothesis.settings.load_profile("minigrad")


@pytest.fixture(autouse=True)
def _docstring_names(request: pytest.FixtureRequest) -> None:
    if isinstance(request.node, pytest.DoctestItem):
        import numpy as np

        import minigrad as mg

        request.node.dtest.globs.update(mg=mg, np=np)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if on_gpu:
        import minigrad as mg

        with warnings.catch_warnings():  # what CuPy warns of is no failure of ours
            warnings.simplefilter("default")
            why_not = mg.cuda.why_not_available()
        skip = pytest.mark.skip(reason=f"needs a CUDA device: {why_not}")
        for item in on_gpu:
            item.add_marker(skip if why_not else pytest.mark.filterwarnings("default"))
