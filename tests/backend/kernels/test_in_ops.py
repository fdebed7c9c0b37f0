"""The kernels where they are used: whole ops on the strict device, which launches like a GPU."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.backend.kernels import kernels
from minigrad.backend.philox import Steps, steps
from minigrad.engine import RowSparse
from minigrad.ops import recurrent
from minigrad.testing import cuda_host, strict
from minigrad.testing.strict import gpu

T, B, I, H = 3, 4, 5, 6


def values(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def rnn(kind, **options):
    gates = {"lstm": 4, "gru": 3, "rnn": 1}[kind]
    arrays = [values(T, B, I), values(B, H, seed=1)]
    arrays += [values(B, H, seed=2)] * (kind == "lstm")
    arrays += [values(gates * H, n, seed=n) / 2 for n in (I, H)] + [values(gates * H, seed=3)] * 2
    return lambda *tensors: getattr(recurrent, kind)(*tensors, **options), arrays


def projected_lstm():
    shapes = (T, B, I), (B, 2), (B, H), (4 * H, I), (4 * H, 2), (4 * H,), (4 * H,), (2, H)
    return recurrent.lstm, [values(*shape, seed=k) for k, shape in enumerate(shapes)]


def classes(x):
    ids = mg.tensor(np.array([[1, -100, 3], [0, 0, 2]]), device=x.device)
    return mg.cross_entropy(x, ids), mg.cross_entropy(x, ids, reduction="none")


def table(weight):
    ids = mg.tensor(np.array([[1, 4, 1], [0, 1, 4]]), device=weight.device)
    return (mg.embedding(weight, ids, padding_idx=0),)


OPS = {
    "lstm": rnn("lstm"),
    "lstm, lengths": rnn("lstm", lengths=(3, 1, 2, 3), reverse=True),
    "lstm, projected": projected_lstm(),
    "gru": rnn("gru"),
    "gru, lengths": rnn("gru", lengths=(3, 1, 2, 3)),
    "rnn": rnn("rnn"),
    "rnn, relu": rnn("rnn", nonlinearity="relu", reverse=True),
    "cross_entropy": (classes, [values(2, 3, 5)]),
    "layer_norm": (
        lambda *args: (mg.layer_norm(args[0], 5, *args[1:]),),
        [values(2, 3, 5), values(5), values(5, seed=1)],
    ),
    "embedding": (table, [values(6, 3)]),
    "additive_attention": (
        mg.additive_attention, [values(2, 3, 4), values(2, 5, 4), values(2, 5, 6), values(4)]
    ),
    "dropout": (lambda x: (mg.dropout(x, 0.3),), [values(5, 7)]),
}  # fmt: skip


def run(name, where):
    """The outputs of an op and the gradients of its arguments, on the host."""
    op, arrays = OPS[name]
    mg.manual_seed(4)
    tensors = [mg.tensor(a, device=where, requires_grad=True) for a in arrays]
    with strict.no_sync():
        outputs = op(*tensors)
        sum((y * y).sum() for y in outputs).backward()
    return [t.numpy() for t in outputs] + [t.grad.numpy() for t in tensors]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ops")


@pytest.mark.skipif(cuda_host.compiler() is None, reason="needs g++")
@pytest.mark.parametrize("name", OPS)
def test_the_cuda_text_inside_an_op_gives_the_cpus_numbers(name, folder, monkeypatch):
    before = mg.get_rng_state()
    launched = set()

    def launch(kernel, shape, args):
        launched.add(kernel.name)
        cuda_host.launcher(folder)(kernel, shape, args)

    for kernel in kernels():
        monkeypatch.setitem(gpu.INSTEAD, kernel.name, launch)
    for ours, theirs in zip(run(name, "strict"), run(name, "cpu"), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)
    assert launched
    mg.set_rng_state(before)


@pytest.mark.parametrize(("kind", "launches"), [("lstm", 2 * T), ("gru", 2 * T), ("rnn", 2 * T)])
def test_a_step_is_one_product_and_one_kernel(kind, launches, monkeypatch):
    counted = {"kernels": 0, "products": 0}
    for kernel in kernels():
        monkeypatch.setitem(
            gpu.INSTEAD, kernel.name,
            lambda k, s, a: (counted.update(kernels=counted["kernels"] + 1), k.reference(*a)),
        )  # fmt: skip
    multiply = gpu._multiply
    monkeypatch.setattr(
        gpu, "_multiply",
        lambda *a: (counted.update(products=counted["products"] + 1), multiply(*a)),
    )  # fmt: skip
    run(kind, "strict")
    assert counted["kernels"] == launches
    # Beside a product per step and way: W x, dx, dW, dU; the GRU sums its n apart.
    assert counted["products"] <= 2 * T + 6


def test_a_mask_is_one_launch():
    """Of dropout, drawn and scaled."""
    x = mg.ones((5, 7), device="strict")
    with steps(Steps(x.device.rng)), strict.capturing() as graph:
        mg.dropout(x, 0.3)
    assert len(graph) == 3  # room for the mask, the mask, the product


def captured_as_on_the_host(kind):
    """A layer of two directions: its captured steps give the host's losses."""
    layer, x = getattr(mg.nn, kind)(I, H, bidirectional=True), values(T, B, I)

    def step(x):
        layer.zero_grad()
        loss = (layer(x)[0] ** 2).sum()
        loss.backward()
        return loss

    host = [step(mg.tensor(x * k)).item() for k in (1, 1, 2)]
    layer.to("strict")
    captured = mg.compile(step)
    there = [captured(mg.tensor(x * k, device="strict")).item() for k in (1, 1, 2)]
    np.testing.assert_allclose(there, host, rtol=1e-5)
    assert [each.graph is not None for each in captured.programs.values()] == [True]


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_directions_are_branches_of_the_device(kind, monkeypatch):
    """Forward and back, eager and in a captured step."""
    forks, fork = [], strict.StrictDevice.fork

    def counted(self, branches):
        forks.append(len(branches))
        return fork(self, branches)

    monkeypatch.setattr(strict.StrictDevice, "fork", counted)
    captured_as_on_the_host(kind)
    assert forks == [2] * 4  # forward and back, at first and while it was captured


def test_rows_of_a_sparse_gradient_are_summed_in_order(monkeypatch):
    """By the kernel, not by atomics, whose order is never the same."""
    launched = []
    for kernel in kernels():
        monkeypatch.setitem(
            gpu.INSTEAD, kernel.name, lambda k, s, a: (launched.append(k.name), k.reference(*a))
        )
    found = []
    for where in ("cpu", "strict"):
        there = mg.device(where)
        ids = there.asarray(np.array([3, 1, 3, 0, 1, 3]))
        sparse = RowSparse(ids, there.asarray(values(6, 4)), (5, 4))
        both, dense = sparse.coalesce(), sparse.to_dense()
        found.append([there.to_host(a) for a in (both.indices, both.values, dense)])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-6)
    assert launched == ["sort_keys", "reduce_parts"] * 2
