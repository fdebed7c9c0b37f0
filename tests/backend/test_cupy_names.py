"""What `backend.cuda` calls is there in CuPy: seen without a GPU, where CuPy is installed."""

import pytest

cupy = pytest.importorskip("cupy")


@pytest.mark.parametrize(
    "name",
    [
        "RawKernel", "cuda.Device", "cuda.Event.record", "cuda.Event.synchronize",
        "cuda.MemoryPool.malloc", "cuda.Stream.begin_capture", "cuda.Stream.end_capture",
        "cuda.Stream.is_capturing", "cuda.Stream.record", "cuda.Stream.wait_event",
        "cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor", "cuda.get_allocator",
        "cuda.get_current_stream", "cuda.memory.OutOfMemoryError", "cuda.nvtx.RangePop",
        "cuda.nvtx.RangePush", "cuda.runtime.driverGetVersion", "cuda.runtime.getDevice",
        "cuda.runtime.getDeviceCount", "cuda.runtime.memGetInfo", "cuda.runtime.runtimeGetVersion",
        "cuda.set_allocator", "cuda.using_allocator", "get_default_memory_pool", "ndarray.get",
        "ndarray.set", "cuda.Graph.launch",
    ],
)  # fmt: skip
def test_it_is_there(name):
    found = cupy
    for part in name.split("."):
        found = getattr(found, part)
    assert callable(found)


def test_what_is_passed_is_taken():
    assert "stream" in cupy.ndarray.set.__doc__
    assert "stream" in cupy.cuda.Graph.launch.__doc__
    assert {"options", "enable_cooperative_groups"} <= set(cupy.RawKernel.__doc__.split())
    assert cupy.RawKernel.max_dynamic_shared_size_bytes is not None
    assert callable(pytest.importorskip("cupyx").empty_pinned)
