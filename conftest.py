"""What all tests share: names for docstring examples, and the skip of tests that need a GPU."""

from __future__ import annotations

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

        if not mg.cuda.is_available():
            for item in on_gpu:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device and CuPy"))
