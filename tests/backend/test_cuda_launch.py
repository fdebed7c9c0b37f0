"""Products and kernels on CuPy's arrays: what is asked of cuBLAS, and how kernels are launched."""

import numpy as np
import pytest

from minigrad.backend import accumulate, device, matmul, operand
from minigrad.backend.cuda import cublas
from minigrad.backend.device_gemm import precision
from minigrad.backend.kernels import attention, draws, persist, plan
from minigrad.backend.kernels.kernel import LAUNCHERS, Launch
from minigrad.errors import DeviceError
from tests.backend import fake_cupy


def test_products(machine, blas):
    machine()
    dev = device("cuda:0")
    a, b = np.arange(24.0).reshape(2, 3, 4), np.arange(20.0).reshape(4, 5)
    there = dev.asarray(a), dev.asarray(b)
    for _ in range(2):
        assert dev.to_host(matmul(*there)).tolist() == (a @ b).tolist()
    transposed = matmul(dev.asarray(b).T, there[0].swapaxes(-1, -2))
    assert dev.to_host(transposed).tolist() == (b.T @ a.swapaxes(-1, -2)).tolist()
    assert dev.to_host(accumulate(*there, matmul(*there))).tolist() == (2 * a @ b).tolist()
    assert [call for call in blas.calls if call[0] != "gemm"] == [
        "create", ("mode", 0), ("stream", 0), ("workspace", cublas.WORKSPACE),
    ]  # fmt: skip
    with pytest.raises(DeviceError, match="different devices"):
        matmul(a, there[1])


def test_products_of_integers_and_of_halves(machine, blas):
    machine()
    dev = device("cuda:0")
    integers = dev.asarray(np.arange(6).reshape(2, 3))
    out = matmul(integers, integers.T)
    assert accumulate(integers, integers.T, out).tolist() == [[10, 28], [28, 100]]
    x = dev.asarray(np.array([[1.0, 2049.0]]), "float32")
    with precision("float16"):
        assert matmul(x, x.T).item() == 1 + 2048**2
    with precision("tf32"):
        matmul(x, x.T)
    assert [call[3:] for call in blas.calls[-2:]] == [(68, 0), (77, 0)]


def test_a_weight_of_many_products_is_rounded_once(machine, blas):
    machine()
    dev = device("cuda:0")
    w, x = dev.asarray([[1.0, 2049.0]], "float32"), dev.asarray([[1.0], [2049.0]], "float32")
    assert operand(w) is w
    with precision("tf32"):
        assert operand(w) is w
    with precision("float16"):
        rounded = operand(w)
        assert rounded.dtype == np.float16
        assert operand(dev.asarray([[1.0]])).dtype == np.float64
        for first in (w, rounded):
            product = matmul(first, x)
            assert (product.dtype, product.item()) == (np.float32, 1 + 2048**2)
            assert accumulate(first, x, product).item() == 2 * (1 + 2048**2)
    assert matmul(rounded, x).item() == 1 + 2048 * 2049  # outside: in float32
    assert [call[4] for call in blas.calls if call[0] == "gemm"] == [0] * 5


def test_kernels_are_compiled_once_for_a_dtype(machine, monkeypatch):
    machine()
    monkeypatch.setattr(fake_cupy.RawKernel, "compiled", [])
    monkeypatch.setattr(fake_cupy.RawKernel, "launched", [])
    x = device("cuda:0").asarray(np.ones((3, 2, 4)), "float32")
    scores = attention.additive_scores
    assert scores(x, x, x[0, 0]).shape == scores(x, x, x[0, 0]).shape == (3, 2, 2)
    y = x.astype("float64")
    scores(y, y, y[0, 0])
    name = "additive_scores"
    assert fake_cupy.RawKernel.compiled == [
        (name, ("-std=c++17", "-DMG_T=float", "-DMG_A=float"), False),
        (name, ("-std=c++17", "-DMG_T=double", "-DMG_A=double"), False),
    ]
    shapes = [((12,), (32,), 32 * 4)] * 2 + [((12,), (32,), 32 * 8)]  # a block per score
    assert fake_cupy.RawKernel.launched == [(name, *shape) for shape in shapes]


def test_a_cooperative_kernel_fits_or_is_refused(machine, monkeypatch):
    cupy = machine()
    monkeypatch.setenv("MINIGRAD_PERSISTENT", "1")
    dev, H, n = device("cuda:0"), 8, 3

    def run():
        arrays = [
            np.ones(s) for s in ((4 * H, 2 * n), (4 * H, H), (H, n), (3, 6, H, n), (2 * n, H))
        ]
        projected, *rest = map(dev.asarray, arrays)
        return persist.forward(persist.LSTM, lambda *_: projected, *rest, n, (0, n))

    assert run()
    monkeypatch.setattr(
        cupy.cuda.driver, "occupancyMaxActiveBlocksPerMultiprocessor", lambda *args: 0
    )
    with pytest.raises(DeviceError, match="2 blocks must run at once, 0 fit this GPU"):
        run()


def test_a_small_run_leaves_the_large_ones_their_shared_memory(machine):
    """The limit belongs to the function, which every RawKernel of the same text shares."""
    machine()
    x = device("cuda:0").asarray(np.zeros(5), np.uint64)
    launch = LAUNCHERS[type(x)]
    for shared in (200 << 10, 60 << 10, 200 << 10):
        launch(draws.PLACE, Launch(1, 1, shared), (x, 1, 2, 3, 0, 0))


def race(kind, ways, times, monkeypatch, capturing=False):
    """Which of the `ways` wins where launches take `times`."""
    array = type(device("cuda:0").asarray([1.0]))
    fake_cupy.TIMES[:] = times
    with monkeypatch.context() as patch:
        patch.setattr(fake_cupy.DEFAULT, "capturing", capturing)
        return plan.RACES[array](kind, ways)


SLOW, FAST = [3.0, 9.0, 3.0, 4.0, 5.0], [2.0, 7.0, 8.0, 9.0, 9.0]  # the quickest launch counts


def test_the_fastest_way_is_tried_once_and_taken(machine, blas, monkeypatch):
    machine()
    x, tried = device("cuda:0").asarray([1.0, 2.0]), []

    def ways():
        tried.append("ways")
        return [lambda: x * 1, lambda: x - 0, lambda: x + 0]

    def ask(kind, times, **more):
        return race(kind, ways, times, monkeypatch, **more)

    assert ask("a", [], capturing=True) == -1
    assert tried == []  # in a capture nothing can be tried
    assert ask("a", SLOW + FAST + SLOW) == 1
    assert ask("a", []) == 1
    assert ask("b", SLOW + SLOW + FAST) == 2
    assert tried == ["ways"] * 2
    with precision("tf32"):  # another may be quicker now
        assert ask("a", FAST + SLOW + SLOW) == 0
    assert ask("a", []) == 1


def test_a_way_that_is_wrong_or_refused_is_not_taken(machine, blas, monkeypatch, caplog):
    machine()
    x = device("cuda:0").asarray([1.0, 2.0])

    def refuse():
        raise DeviceError("2 blocks must run at once, 0 fit this GPU")

    ways = [lambda: x * 1.1, lambda: x * np.nan, refuse, lambda: x]
    assert race("kind", lambda: ways, SLOW, monkeypatch) == 3
    assert [record.message for record in caplog.records] == [
        "kind: way 0 is off by 1.0e-01: not used", "kind: way 1 is off by nan: not used"
    ]  # fmt: skip
