"""The calls that NCCL gets: a stand-in for it joins threads, each with a strict device's arrays.

The stand-in adds up what stands at the addresses that it is given, so a wrong pointer, count, type
or stream shows. It runs no GPU.
"""

import socket
import sys
import threading
import types

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim, parallel
from minigrad.errors import ConfigError, DeviceError, DTypeError, MissingExtraError
from minigrad.parallel import NCCL, Group
from minigrad.testing import strict
from minigrad.testing.strict.events import call

TYPES = {7: np.float32, 8: np.float64, 6: np.float16}
STREAM = 0xABC


class World:
    """What the ranks of a test share: memory by address, and a meeting point."""

    def __init__(self, size):
        self.size, self.meeting = size, threading.Barrier(size, timeout=30)
        self.slots, self.memory, self.calls = [None] * size, {}, [[] for _ in range(size)]

    def exchange(self, rank, value):
        self.slots[rank] = value
        self.meeting.wait()
        found = list(self.slots)
        self.meeting.wait()
        return found


class Host(Group):
    """Threads in place of MPI's processes."""

    def __init__(self, world, rank):
        self.world, self.rank, self.size = world, rank, world.size

    def gather(self, value):
        return self.world.exchange(self.rank, value)

    def all_reduce(self, array):
        array[...] = sum(x.copy() for x in self.gather(array.copy()))

    def broadcast(self, array):
        array[...] = self.gather(array.copy())[0]


class Communicator:
    world: World

    def __init__(self, size, unique, rank):
        assert unique == (17, 4)
        assert size == self.world.size
        self.rank, self.destroyed = rank, False

    def _memory(self, pointer, count, kind):
        array = self.world.memory[pointer]
        assert array.size == count
        assert array.dtype == TYPES[kind]
        return array

    def allReduce(self, send, receive, count, kind, op, stream):
        assert send == receive
        assert op == 0
        self.world.calls[self.rank].append(("allReduce", receive, count, kind, stream))
        array = self._memory(receive, count, kind)

        def on_the_gpu(array):
            array[...] = sum(self.world.exchange(self.rank, array.copy()))

        call(on_the_gpu, array, writes=(array,))

    def broadcast(self, send, receive, count, kind, root, stream):
        assert (send, root) == (receive, 0)
        self.world.calls[self.rank].append(("broadcast", receive, count, kind, stream))
        array = self._memory(receive, count, kind)
        array[...] = self.world.exchange(self.rank, array.copy())[0]

    def destroy(self):
        self.destroyed = True


class Gpu:
    used = 0

    def __init__(self, index):
        self.index = index

    def __enter__(self):
        Gpu.used += 1

    def __exit__(self, *error):
        pass

    def synchronize(self):
        pass


@pytest.fixture
def cupy(monkeypatch):
    """A CuPy with GPUs 0 and 1, and the array's address under the name CuPy has for it."""
    world_communicator = type("NcclCommunicator", (Communicator,), {})
    nccl = types.SimpleNamespace(
        available=True, NCCL_SUM=0, NCCL_FLOAT16=6, NCCL_FLOAT32=7, NCCL_FLOAT64=8,
        get_unique_id=lambda: (17, 4), NcclCommunicator=world_communicator,
    )  # fmt: skip
    cuda = types.ModuleType("cupy.cuda")
    cuda.nccl, cuda.Device = nccl, Gpu
    cuda.runtime = types.SimpleNamespace(getDeviceCount=lambda: 2)
    cuda.get_current_stream = lambda: types.SimpleNamespace(ptr=STREAM)
    module = types.ModuleType("cupy")
    module.cuda = cuda
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setitem(sys.modules, "cupy.cuda", cuda)

    def at(self, array):
        pointer = array._a.ctypes.data
        world_communicator.world.memory[pointer] = array._a
        return pointer

    monkeypatch.setattr(NCCL, "_at", at)
    return module


def together(cupy, size, work):
    """`work(group)` on `size` threads; their results and the world they met in."""
    world = cupy.cuda.nccl.NcclCommunicator.world = World(size)
    results, errors = [None] * size, []

    def run(rank):
        try:
            results[rank] = work(NCCL(host=Host(world, rank)))
        except BaseException as error:  # noqa: BLE001
            errors.append(error)
            world.meeting.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results, world


def dev(values, dtype="float32"):
    return mg.tensor(np.asarray(values, dtype)).to("strict")


def network():
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))


def train(group, state):
    """Three steps, from rank 0's `state`."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    model = network()
    if group.main:
        model.load_state_dict(state)
    model.to("strict")
    group.synchronize(model.parameters())
    sgd = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    mine = slice(group.rank, None, group.size)
    for _ in range(3):
        sgd.zero_grad()
        mg.mse_loss(model(dev(x[mine])), dev(y[mine])).backward()
        group.average(sgd)
        sgd.step()
    return [p.cpu().numpy() for p in model.parameters()]


def test_two_gpus_do_what_one_does_and_each_step_is_one_all_reduce(cupy):
    state = network().state_dict()
    alone = train(Group(), state)
    results, world = together(cupy, 2, lambda group: train(group, state))
    for mine, first, second in zip(alone, *results, strict=True):
        np.testing.assert_array_equal(first, second)
        np.testing.assert_allclose(first, mine, atol=1e-6)
    names = [name for name, *_ in world.calls[0]]
    assert names == ["broadcast"] * 4 + ["allReduce"] * 3
    for _, _, count, kind, stream in world.calls[1][4:]:
        assert (kind, stream) == (7, STREAM)
        assert count >= 3 * 5 + 5 + 5 * 2 + 2


def test_gpus_are_given_out_by_machine(cupy, monkeypatch):
    names = threading.local()
    monkeypatch.setattr(socket, "gethostname", lambda: names.value)
    machines = ["a", "b", "a", "b"]

    class Named(Host):
        def gather(self, value):
            names.value = machines[self.rank]
            return super().gather(machines[self.rank] if isinstance(value, str) else value)

    world = cupy.cuda.nccl.NcclCommunicator.world = World(4)
    devices = [None] * 4

    def run(rank):
        names.value = machines[rank]
        devices[rank] = NCCL(host=Named(world, rank)).device

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert devices == ["cuda:0", "cuda:0", "cuda:1", "cuda:1"]


def test_more_processes_than_gpus(cupy):
    with pytest.raises(DeviceError, match="process 3 on"):
        together(cupy, 3, lambda group: None)


def test_collectives_use_the_current_stream_and_count_elements(cupy):
    def work(group):
        xp = strict.device().xp
        a = xp.full((2, 3), group.rank + 1.0, dtype="float64")
        group.all_reduce(a)
        b = xp.full(4, group.rank + 1.0, dtype="float16")
        group.broadcast(b)
        host = np.full(2, group.rank + 1.0)
        group.all_reduce(host)
        group.barrier()
        assert group.sums(group.rank) == [1.0]
        assert group.share("x" if group.main else "y") == "x"
        group.close()
        return a.get().tolist(), b.get().tolist(), host.tolist(), group._communicator.destroyed

    results, world = together(cupy, 2, work)
    assert results == [([[3.0] * 3] * 2, [1.0] * 4, [3.0] * 2, True)] * 2
    calls = [(name, *rest) for name, _, *rest in world.calls[0]]
    assert calls == [("allReduce", 6, 8, STREAM), ("broadcast", 4, 6, STREAM)]
    assert Gpu.used


def test_an_all_reduce_is_a_part_of_a_captured_step(cupy):
    """The graph's replays reduce again, in the same memory; nothing waits for the device."""

    def work(group):
        x = dev([[1.0], [2.0]] if group.main else [[3.0], [4.0]])
        w = dev([[1.0]]).requires_grad_()
        adam = optim.SGD([w], lr=1.0)

        def step():
            adam.zero_grad()
            (x @ w).mean().backward()
            group.average([w])

        step()  # what is made once is made here
        with strict.capturing() as graph:
            step()
        found = []
        for scale in (1.0, 2.0):
            x.data.set(np.asarray(x.data.get() * scale))
            graph.launch()
            found.append(w.grad.data.get().item())
        return found

    results, world = together(cupy, 2, work)
    assert results == [[2.5, 5.0]] * 2  # the mean of 1 2 3 4, then of twice that
    captured = world.calls[0][-1]
    assert captured[0] == "allReduce"
    assert len(world.calls[0]) == 2  # launches do not come back to Python's NCCL


def test_what_nccl_does_not_know_is_refused(cupy, monkeypatch):
    monkeypatch.undo()
    group = NCCL.__new__(NCCL)
    group._nccl = types.SimpleNamespace(NCCL_FLOAT32=7)
    with pytest.raises(DTypeError, match="NCCL: knows no complex64"):
        group._type(np.zeros(2, "c8"))
    with pytest.raises(ConfigError, match="contiguous"):
        group._at(np.zeros((3, 3)).T[1:])


def test_without_cupy_the_error_names_the_extras(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(MissingExtraError, match=r"minigrad\[cuda13,nccl\]"):
        parallel.start("nccl")


def test_without_nccl_the_error_names_the_extras(cupy):
    cupy.cuda.nccl.available = False
    with pytest.raises(MissingExtraError, match="nvidia-nccl"):
        parallel.start("nccl")


def test_alone_without_mpi(cupy, monkeypatch):
    cupy.cuda.nccl.NcclCommunicator.world = World(1)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    group = parallel.start("nccl")
    assert (group.rank, group.size, group.device) == (0, 1, "cuda:0")
    assert type(group.host) is Group


@pytest.mark.gpu
def test_one_gpu_reduces_with_itself():  # pragma: gpu
    group = parallel.start("nccl", host=Group())
    with mg.use_device(group.device):
        x = mg.tensor([1.0, 2.0])
        group.all_reduce(x.data)
        group.broadcast(x.data)
        group.barrier()
        graph, _ = mg.device(group.device).capture(lambda: group.all_reduce(x.data))
        x.data[...] = 3
        graph.launch()
    assert x.cpu().numpy().tolist() == [3.0, 3.0]
    group.close()
