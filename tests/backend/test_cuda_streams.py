"""Random numbers, graphs, batches and forks on CuPy: which stream is asked what, in which order."""

import gc
import sys
import types
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad.backend import device, device_of
from minigrad.backend.cuda.feed import Feeder
from minigrad.errors import DeviceError, ShapeError
from tests.backend import fake_cupy


@pytest.fixture
def log(monkeypatch):
    """What streams are asked from now on; the first that is made is number 1."""
    found = []
    monkeypatch.setattr(fake_cupy, "LOG", found)
    monkeypatch.setattr(fake_cupy.Stream, "count", 0)
    return found


def test_random_numbers_are_the_hosts(machine, monkeypatch):
    machine()
    before = mg.get_rng_state()
    try:
        mg.manual_seed(3)
        one = device("cuda:1")
        x = [one.rng.uniform(0, 1, (2, 3)), one.rng.normal(0, 1, 4), one.rng.bernoulli(0.5, 9)]
        assert {device_of(each) for each in x} == {one}
        mg.manual_seed(3)
        host = device("cpu").rng
        y = [host.uniform(0, 1, (2, 3)), host.normal(0, 1, 4), host.bernoulli(0.5, 9)]
        for ours, theirs in zip(x, y, strict=True):
            assert np.array_equal(ours, theirs)
        assert list(mg.get_rng_state()["streams"]) == ["cpu"]
        monkeypatch.setattr(fake_cupy.DEFAULT, "capturing", True)
        with pytest.raises(DeviceError, match=r"a draw from device.rng: not allowed while a graph"):
            one.rng.bernoulli(0.5, 9)
    finally:
        mg.set_rng_state(before)


def test_a_graph_is_captured_on_a_stream_and_memory_of_its_own(machine, blas, monkeypatch):
    machine()
    monkeypatch.setattr(fake_cupy, "LOG", [])
    monkeypatch.setattr(fake_cupy.Stream, "count", 0)
    before = mg.get_rng_state()
    try:
        mg.manual_seed(3)
        dev = device("cuda:0")
        expected = [device("cpu").rng.bernoulli(0.5, 40).tolist() for _ in range(3)]
        mg.manual_seed(3)
        graph, mask = dev.capture(lambda: dev.rng.bernoulli(0.5, 40))
        assert fake_cupy.LOG == [
            "record on 0", "1 waits", "own pool", "begin on 1", "end on 1", "default pool"
        ]  # fmt: skip
        assert ("stream", 1) in blas.calls  # a handle, made before the capture began
        for numbers in expected:
            graph.launch()
            assert mask.tolist() == numbers
        assert fake_cupy.LOG[-1] == "launch on 0"
        assert gc.isenabled()
    finally:
        mg.set_rng_state(before)


def test_a_graph_that_is_dropped_leaves_nothing_but_its_handle_to_the_next(machine, blas, log):
    machine()
    dev = device("cuda:0")
    for _ in range(3):
        made = []
        graph, _ = dev.capture(lambda made=made: made.append(dev.xp.empty(3)) or made[0])
        memory = weakref.ref(made.pop())
        assert memory() is not None  # the graph writes there
        graph.launch()
        del graph, _
        assert memory() is None
        assert log[-1] == "pool freed"
    assert blas.calls.count("create") == 1
    assert len({call for call in blas.calls if call[0] == "stream"}) == 3


def test_a_failed_capture_ends_and_says_what_failed(machine, blas, monkeypatch):
    machine()
    monkeypatch.setattr(fake_cupy, "LOG", [])
    dev = device("cuda:0")
    with pytest.raises(ZeroDivisionError):
        dev.capture(lambda: 1 / 0)
    assert fake_cupy.LOG[-1].startswith("end on")
    assert gc.isenabled()
    assert not fake_cupy.Stream.current
    with pytest.raises(DeviceError, match=r"rng.normal, drawn on the host,: not allowed while"):
        dev.capture(lambda: dev.rng.normal(shape=3))


def test_batches_come_from_pinned_memory_on_a_stream_of_copies(machine, monkeypatch):
    machine()
    pinned = types.ModuleType("cupyx")
    pinned.empty_pinned = np.empty
    monkeypatch.setitem(sys.modules, "cupyx", pinned)
    monkeypatch.setattr(fake_cupy, "LOG", [])
    monkeypatch.setattr(fake_cupy.Stream, "count", 0)
    dev = device("cuda:0")
    inputs = [dev.asarray(np.zeros((2, 3))), dev.asarray(np.zeros(4))]
    feed = Feeder(dev, inputs)
    for k in range(5):
        there = dev.asarray(np.full(4, -k))
        feed(np.full((2, 3), k), there)
        assert (inputs[0].tolist(), inputs[1].tolist()) == ([[k] * 3] * 2, [-k] * 4)
    assert fake_cupy.LOG[:6] == [
        "host waits", "1 waits", "copy on 1", "record on 1", "0 waits", "record on 0"
    ]  # fmt: skip
    with pytest.raises(ShapeError, match="a captured step takes"):
        feed(np.zeros((3, 3)), np.zeros(4))


def test_branches_run_on_streams_that_wait_for_each_other(machine, log):
    machine()
    dev = device("cuda:0")

    def branch(name):
        log.append(f"{name} on {fake_cupy.get_current_stream().ptr}")
        return name

    assert dev.fork([lambda: branch("a"), lambda: branch("b"), lambda: branch("c")]) == list("abc")
    assert log == [
        "record on 0", "a on 0", "1 waits", "b on 1", "record on 1", "0 waits",
        "2 waits", "c on 2", "record on 2", "0 waits",
    ]  # fmt: skip
    log.clear()
    dev.fork([lambda: branch("a"), lambda: dev.fork([lambda: branch("b"), lambda: branch("c")])])
    assert [line for line in log if " on " in line and "record" not in line] == [
        "a on 0", "b on 1", "c on 1",
    ]  # fmt: skip
    assert len(dev.sides.streams) == 2  # made once
    log.clear()
    assert dev.fork([lambda: branch("a")]) == ["a"]
    assert log == ["a on 0"]


def test_a_branch_that_fails_comes_back(machine, log):
    machine()
    with pytest.raises(ZeroDivisionError):
        device("cuda:0").fork([lambda: 1, lambda: 1 / 0])
    assert log[-2:] == ["record on 1", "0 waits"]
    assert not fake_cupy.Stream.current
    assert gc.isenabled()


def test_forks_are_captured_with_handles_that_were_there(machine, blas, log):
    machine()
    dev = device("cuda:0")
    work = [dev.products.handle] * 2
    dev.fork(work)
    graph = dev.capture(lambda: (log.append("inside"), dev.fork(work), blas.calls.append("inside")))
    assert blas.calls.index("inside") == len(blas.calls) - 1
    assert blas.calls.count("create") == 3  # of the main stream, the side and the capture's
    assert log[log.index("inside") :] == [
        "inside", "record on 2", "1 waits", "record on 1", "2 waits", "end on 2", "default pool"
    ]  # fmt: skip
    del graph
