import copy
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

from minigrad import backend
from minigrad.backend import device, device_of, namespace, use_device
from minigrad.errors import DeviceError

CPU = device("cpu")


def test_numpy_arrays_and_scalars_live_on_the_cpu():
    for value in (np.zeros(2), np.float32(1), np.int64(1), np.bool_(True)):
        assert namespace(value) is np
        assert device_of(value) is CPU
        assert backend.NAMESPACES[type(value)] is np


def test_a_subclass_is_adopted_and_looked_up_from_then_on():
    class Sub(np.ndarray):
        pass

    x = np.zeros(2).view(Sub)
    assert Sub not in backend.NAMESPACES
    assert namespace(x) is np
    assert backend.NAMESPACES.pop(Sub) is np  # known now; forgotten again for other tests
    assert device_of(x) is CPU


@pytest.mark.parametrize("value", [[1.0], 1.0, None, "x"])
def test_what_is_no_array_is_refused_by_name(value):
    for ask in (namespace, device_of):
        with pytest.raises(DeviceError, match=f"got {type(value).__name__}; .*mg.asarray"):
            ask(value)


def test_devices_are_singletons_also_after_copying_and_pickling():
    assert device("cpu") is CPU
    assert device(CPU) is CPU
    assert copy.deepcopy(CPU) is CPU
    assert pickle.loads(pickle.dumps(CPU)) is CPU
    assert (str(CPU), repr(CPU), CPU.kind, CPU.index) == ("cpu", "device('cpu')", "cpu", 0)


@pytest.mark.parametrize("spec", ["tpu", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "", "CPU"])
def test_a_name_that_is_no_device(spec):
    with pytest.raises(DeviceError, match=f"no device {spec!r}; there are 'cpu', 'cuda'"):
        device(spec)


def test_a_device_is_named_by_a_string():
    with pytest.raises(DeviceError, match=r"named by a string .* got 0"):
        device(0)


def test_cpu_asarray_shares_its_own_and_converts_the_rest():
    x = np.arange(3.0)
    assert CPU.asarray(x) is x
    assert CPU.to_host(x) is x
    assert CPU.asarray([1, 2], "float32").dtype == np.float32
    CPU.synchronize()


def test_arrays_come_home_from_another_device():
    there = device("strict").asarray([1.0, 2.0])
    back = CPU.asarray(there)
    assert type(back) is np.ndarray
    assert back.tolist() == [1.0, 2.0]


def test_use_device_sets_the_default_and_puts_it_back():
    assert device() is CPU
    with use_device("strict") as inner:
        assert device() is inner is device("strict")
        with use_device(CPU):
            assert device() is CPU
        assert device() is inner
    assert device() is CPU


def test_use_device_puts_the_default_back_after_an_exception():
    with pytest.raises(ZeroDivisionError), use_device("strict"):
        raise ZeroDivisionError
    assert device() is CPU


def test_the_default_belongs_to_one_thread():
    seen = []
    with use_device("strict"):
        thread = threading.Thread(target=lambda: seen.append(device()))
        thread.start()
        thread.join()
    assert seen == [CPU]


def test_the_environment_names_the_default(monkeypatch):
    monkeypatch.setenv("MINIGRAD_DEVICE", "strict")
    assert device().name == "strict"
    with use_device("cpu"):
        assert device() is CPU
    monkeypatch.setenv("MINIGRAD_DEVICE", "abacus")
    with pytest.raises(DeviceError, match="MINIGRAD_DEVICE=abacus: no device 'abacus'"):
        device()
    monkeypatch.setenv("MINIGRAD_DEVICE", " ")
    assert device() is CPU


def test_there_is_one_strict_device():
    assert device("strict:0") is device("strict")
    with pytest.raises(DeviceError, match="there is one strict device"):
        device("strict:1")


def test_the_base_class_promises_and_does_nothing():
    bare = backend.Device("bare", np)
    for call in (lambda: bare.asarray(1), lambda: bare.to_host(1), lambda: bare.make_stream(0)):
        with pytest.raises(NotImplementedError):
            call()
    with bare.activate():
        bare.synchronize()


def test_importing_the_backend_loads_numpy_and_the_standard_library_only():
    script = (
        "import sys; before = set(sys.modules)\n"
        "import minigrad.backend\n"
        "tops = {m.partition('.')[0] for m in set(sys.modules) - before}\n"
        "print(sorted(tops - set(sys.stdlib_module_names) - {'numpy', 'minigrad'}))\n"
        "print('minigrad.testing' in sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert out.split("\n")[:2] == ["[]", "False"]
