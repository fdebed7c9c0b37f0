"""Both directions of a recurrent layer on two threads: the same bits, and no forks in forks."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.ops.recurrent import _both, lstm

LENGTHS = (3, 0, 6, 1)
CASES = [
    (nn.RNN, {"nonlinearity": "relu"}),
    (nn.GRU, {"num_layers": 2}),
    (nn.LSTM, {"num_layers": 2, "dropout": 0.4}),
    (nn.LSTM, {"proj_size": 3, "bias": False, "batch_first": True}),
]


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    """Two threads, which pay for any size."""
    monkeypatch.setattr(_both, "WORTH", 0)
    before = mg.get_num_threads()
    mg.set_num_threads(2)
    yield
    mg.set_num_threads(before)


def layer_and_input(kind=nn.LSTM, **options):
    mg.manual_seed(0)
    layer = kind(5, 4, bidirectional=True, **options)
    return layer, mg.randn(6, 4, 5).requires_grad_()


def pair(state):
    return state if isinstance(state, tuple) else (state,)


def step(layer, x, **params):
    """Outputs, final states and all gradients of a training step."""
    layer.zero_grad()
    x.grad = None
    mg.manual_seed(1)
    y, state = layer(x, **params)
    loss = (y * y).sum() + sum((s * s).sum() for s in pair(state))
    loss.backward()
    return [y, *pair(state), x.grad, *(p.grad for p in layer.parameters())]


def assert_same_bits(got, expected):
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), strict=True)


@pytest.mark.parametrize("reverse", [False, True], ids=["", "reverse"])
@pytest.mark.parametrize("given", ["full", "lengths"])
@pytest.mark.parametrize(("kind", "options"), CASES, ids=str)
def test_the_same_bits_as_on_one_thread(kind, options, given, reverse):
    layer, x = layer_and_input(kind, **options)
    some = (3, 0, 4, 1, 2, 4) if "batch_first" in options else LENGTHS
    lengths = None if given == "full" else some
    side_by_side = step(layer, x, lengths=lengths, reverse=reverse)
    mg.set_num_threads(1)
    assert_same_bits(side_by_side, step(layer, x, lengths=lengths, reverse=reverse))


def operations(t):
    """The names of the lines that led to a Tensor."""
    seen, todo = set(), [t.node]
    while todo:
        node = todo.pop()
        if isinstance(node, mg.Node) and node not in seen:
            seen.add(node)
            todo.extend(node.parents)
    return [node.op.name for node in seen]


def test_one_line_for_both_where_it_is_worth_it(monkeypatch):
    layer, x = layer_and_input()
    assert operations(layer(x)[0]) == ["bilstm"]
    monkeypatch.setattr(_both, "WORTH", 4 * (4 * 4 * 5 + 4 * 4 * 4) + 1)
    assert sorted(operations(layer(x)[0])) == ["concat", "lstm", "lstm"]
    monkeypatch.setattr(_both, "WORTH", 4 * (4 * 4 * 5 + 4 * 4 * 4))
    assert operations(layer(x)[0]) == ["bilstm"]
    mg.set_num_threads(1)
    assert "bilstm" not in operations(layer(x)[0])
    mg.set_num_threads(2)
    monkeypatch.setattr(_both, "WORTH", 1 << 40)  # of the CPU: a GPU has a stream for each
    assert "bilstm" not in operations(layer(x)[0])
    on_strict = layer.to("strict")(mg.asarray(x.numpy(), device="strict"))[0]
    assert operations(on_strict) == ["bilstm"]


@pytest.mark.parametrize("kernel", ["forward", "_backward"])
def test_they_run_at_the_same_time(kernel, monkeypatch):
    layer, x = layer_and_input()
    meeting, threads, plain = threading.Barrier(2), set(), getattr(lstm, kernel)

    def kernel_that_waits(*args, **params):
        threads.add(threading.get_ident())
        meeting.wait(20)  # breaks unless both have begun
        return plain(*args, **params)

    monkeypatch.setattr(lstm, kernel, kernel_that_waits)
    step(layer, x)
    assert len(threads) == 2


@pytest.mark.parametrize("kernel", ["forward", "_backward"])
@pytest.mark.parametrize("failing", [False, True], ids=["ahead", "back"])
def test_an_error_of_either_is_raised_in_the_caller(kernel, failing, monkeypatch):
    layer, x = layer_and_input()
    plain = getattr(lstm, kernel)

    def kernel_that_fails(*args, reverse, **params):
        if reverse == failing:
            raise MemoryError("no room")
        return plain(*args, reverse=reverse, **params)

    monkeypatch.setattr(lstm, kernel, kernel_that_fails)
    with pytest.raises(MemoryError, match="no room"):
        step(layer, x)
    monkeypatch.undo()
    step(layer, x)


def test_a_divided_batch_is_not_divided_again():
    layer, x = layer_and_input()
    seen = []

    def loss_of(x):
        y, _ = layer(x)
        seen.append((operations(y), threading.get_ident()))
        return (y * y).mean()

    params = list(layer.parameters())
    batch = (x.detach(),)
    mg.parallel.backward(loss_of, batch, axes=(1,), params=params, workers=2)
    assert [sorted(names) for names, _ in seen] == [["concat", "lstm", "lstm"]] * 2
    layer.zero_grad()
    seen.clear()
    mg.parallel.backward(loss_of, batch, axes=(1,), params=params, workers=1)
    assert seen[0][0] == ["bilstm"]


@pytest.mark.parametrize("given", ["full", "lengths"])
@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_a_program_forks_and_has_the_same_bits(kind, given):
    layer, x = layer_and_input(kind, num_layers=2)
    lengths = None if given == "full" else np.array(LENGTHS)

    @mg.compile
    def compiled(x, lengths):
        layer.zero_grad()
        y, _ = layer(x, lengths=lengths)
        (y * y).sum().backward()
        return y, *(p.grad for p in layer.parameters())

    x = x.detach()
    eager = [t.copy() for t in compiled.function(x, lengths)]
    for _ in range(3):
        assert_same_bits(compiled(x, lengths), eager)
    listing = str(compiled.program)
    assert ("fork into 2 threads" in listing) == (lengths is None)  # with lengths they are opaque
    if lengths is not None:
        others = np.array([1, 6, 2, 0])
        expected = [t.copy() for t in compiled.function(x, others)]
        assert_same_bits(compiled(x, others), expected)
        assert len(compiled.programs) == 1
