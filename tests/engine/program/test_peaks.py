"""A program needs no more memory than eager at its peak, whatever is compiled."""

from __future__ import annotations

import threading
import tracemalloc
from contextvars import copy_context

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.backend import threads
from models.seq2seq import Seq2Seq

T, B, E, H = 20, 16, 32, 64


class Peak:
    """The most memory beyond what is there at first, as if branches met where each needs most."""

    def __init__(self, monkeypatch):
        self.run = threads.run
        self.most, self.before = 0, tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        monkeypatch.setattr(threads, "run", self.branches)

    def look(self):
        """What is there beyond that, and the most that was there since the last look."""
        now, peak = (n - self.before for n in tracemalloc.get_traced_memory())
        self.most = max(self.most, peak)
        tracemalloc.reset_peak()
        return now, peak

    def branches(self, branches):
        if not threads.forks():
            return self.run(branches)
        results, needs = [], []
        start, _ = self.look()
        with threads.branching():
            for branch in branches:
                before, _ = self.look()
                results.append(apart(copy_context().run, branch))
                needs.append(self.look()[1] - before)
        self.most = max(self.most, start + sum(sorted(needs)[-threads.get_num_threads() :]))
        return results


def apart(function, *args):
    """The result in a thread of its own, which has nothing that earlier calls have kept."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function(*args)))
    thread.start()
    thread.join()
    return results[0]


def eager_peak(monkeypatch, step, parameters, *args):
    """The most memory of an eager step that begins without gradients."""
    tracemalloc.start()
    try:
        step(*args)
        for p in parameters:
            p.grad = None
        with monkeypatch.context() as patch:
            peak = Peak(patch)
            apart(step, *args)
            peak.look()
        return peak.most
    finally:
        tracemalloc.stop()


def x(*shape):
    return mg.asarray(np.random.default_rng(0).standard_normal(shape).astype(np.float32))


def ids(n, *shape):
    return mg.asarray(np.random.default_rng(0).integers(1, n, shape))


def squares(y):
    """A loss of the first of what a layer returns."""
    while isinstance(y, tuple):
        y = y[0]
    return (y**2).sum()


def layer(make, *shape, **params):
    """The loss of a layer, of an input of `shape`."""

    def case():
        module = make()
        return [module], lambda x: squares(module(x, **params)), (x(*shape),)

    return case


def cells(make, *, every=False):
    """A cell called by hand; of `every` step there is a loss."""

    def case():
        cell = make(E, H)

        def loss(x):
            state, found = None, []
            for t in range(x.shape[0]):
                state = cell(x[t], state)
                found.append(state[0] if isinstance(state, tuple) else state)
            return squares(mg.stack(found) if every else found[-1])

        return [cell], loss, (x(2 * T, B, E),)

    return case


def hand_written(gates=1, head=0):
    def case():
        inputs, recurrent = ([nn.Linear(n, H) for _ in range(gates)] for n in (E, H))
        last = [nn.Linear(H, head)] if head else []

        def loss(x):
            h, total = mg.zeros((B, H)), 0.0
            for t in range(x.shape[0]):
                for a, b in zip(inputs, recurrent, strict=True):
                    h = mg.tanh(a(x[t]) + b(h)) * mg.sigmoid(b(h))
                for each in last:
                    total = total + mg.cross_entropy(each(h), mg.zeros((B,), dtype="int64"))
            return total + squares(h)

        return [*inputs, *recurrent, *last], loss, (x(2 * T, B, E),)

    return case


def decoder():
    attention, cell = nn.AdditiveAttention(H, E, H), nn.LSTMCell(E + E, H)
    head = nn.Linear(H, 50)

    def loss(states, words):
        keys, (h, c), total = attention.project_keys(states), (mg.zeros((B, H)),) * 2, 0.0
        for t in range(T):
            context, _ = attention(h, states, keys=keys)
            h, c = cell(mg.concat([states[:, 0], context], axis=-1), (h, c))
            total = total + mg.cross_entropy(head(h), words[t])
        return total

    return [attention, cell, head], loss, (x(B, 12, E), ids(50, T, B))


def seq2seq():
    model = Seq2Seq(50, 40, bos=1, eos=2, size=E, hidden_size=H)
    lengths = np.array([12] * 8 + [7] * 8)

    def loss(source, lengths, target):
        logits, _ = model(source, lengths, target[:-1])
        return mg.cross_entropy(logits.reshape(-1, 40), target[1:].reshape(-1), ignore_index=0)

    return [model], loss, (ids(50, 12, B), lengths, ids(40, 10, B))


def words():
    embedding, head = nn.Embedding(5000, E), nn.Linear(E, 5000)
    return (
        [embedding, head],
        lambda x, y: mg.cross_entropy(head(embedding(x)), y),
        (
            ids(5000, 100),
            ids(5000, 100),
        ),
    )


def checkpointed():
    linears = [nn.Linear(H, H) for _ in range(6)]

    def loss(x):
        for a, b in zip(linears[::2], linears[1::2], strict=True):
            x = mg.checkpoint(lambda x, a=a, b=b: mg.tanh(b(mg.tanh(a(x)))), x)
        return squares(x)

    return linears, loss, (x(256, H),)


def tagger():
    linear, crf = nn.Linear(E, 9), nn.CRF(9)
    return [linear, crf], lambda x, y: crf(linear(x), y).sum(), (x(T, B, E), ids(9, T, B))


LENGTHS = np.array([20] * 4 + [15] * 4 + [7] * 4 + [3] * 4)
MLP = lambda: nn.Sequential(nn.Linear(E, 256), nn.Tanh(), nn.Linear(256, 8))  # noqa: E731
WIDE = lambda: nn.Sequential(nn.Linear(128, 1024), nn.Tanh(), nn.Linear(1024, 128))  # noqa: E731
IMAGES = lambda: nn.Sequential(  # noqa: E731
    nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
    nn.Linear(8 * 7 * 7, 10),
)  # fmt: skip

CASES = {
    **{
        f"{kind.__name__} {name}": layer(lambda kind=kind, p=params: kind(E, H, **p), T, B, E)
        for kind in (nn.RNN, nn.GRU, nn.LSTM)
        for name, params in {
            "": {},
            "of two layers": {"num_layers": 2},
            "both ways": {"bidirectional": True},
            "of three, both ways": {"bidirectional": True, "num_layers": 3},
        }.items()
    },
    **{
        f"{kind.__name__} with lengths {lengths!r:.2}": layer(
            lambda kind=kind, both=both: kind(E, H, bidirectional=both), T, B, E, lengths=lengths
        )
        for kind in (nn.RNN, nn.GRU, nn.LSTM)
        for both, lengths in ((False, LENGTHS), (True, tuple(LENGTHS.tolist())))
    },
    "LSTM of many steps": layer(lambda: nn.LSTM(E, H), 150, 4, E),
    "LSTM whose products take a thread": layer(lambda: nn.LSTM(64, 128), 64, 32, 64),
    "LSTM with dropout": layer(lambda: nn.LSTM(E, H, num_layers=2, dropout=0.5), T, B, E),
    "LSTM with a projection": layer(lambda: nn.LSTM(E, H, proj_size=16), T, B, E),
    **{
        f"{kind.__name__}s, {name}": cells(kind, every=every)
        for kind in (nn.RNNCell, nn.GRUCell, nn.LSTMCell)
        for name, every in {"the last": False, "all": True}.items()
    },
    "a cell by hand": hand_written(),
    "a cell of four gates by hand": hand_written(gates=4),
    "a cell by hand with a loss in each step": hand_written(head=50),
    "attention decoder": decoder,
    "translation": seq2seq,
    "a large vocabulary": words,
    "checkpoints": checkpointed,
    "CRF": tagger,
    "MLP": layer(MLP, T, B, E),
    "a wide MLP": layer(WIDE, 64, 128),
    "Transformer": layer(lambda: nn.TransformerEncoderLayer(E, 4, H, dropout=0.1), T, B, E),
    "LayerNorm": layer(lambda: nn.LayerNorm(E), T, B, E),
    "images": layer(IMAGES, 8, 3, 16, 16),
    "a signal": layer(lambda: nn.Sequential(nn.Conv1d(8, 16, 3), nn.ReLU()), 8, 8, 40),
}


def check(monkeypatch, step, parameters, *args):
    """The program of a step needs no more than eager, not by a byte."""
    compiled = mg.compile(step)
    compiled(*args)
    needed = compiled.program.nbytes
    assert needed <= eager_peak(monkeypatch, step, parameters, *args)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_training(case, monkeypatch):
    modules, loss, args = case()
    parameters = [p for module in modules for p in module.parameters()]

    def step(*args):
        for p in parameters:
            p.grad = None
        loss(*args).backward()

    check(monkeypatch, step, parameters, *args)


@pytest.mark.parametrize("name", ["LSTM both ways", "a cell by hand", "MLP", "Transformer"])
def test_gradients_of_two_batches(name, monkeypatch):
    modules, loss, args = CASES[name]()
    parameters = [p for module in modules for p in module.parameters()]

    def step(*args):
        for p in parameters:
            p.grad = None
        for _ in range(2):
            loss(*args).backward()

    check(monkeypatch, step, parameters, *args)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_inference(case, monkeypatch):
    _, loss, args = case()
    check(monkeypatch, mg.no_grad()(loss), [], *args)


AXES = {"MLP": 0, "images": 0, "LSTM ": 1, "GRU both ways": 1, "Transformer": 1,
        "LSTM whose products take a thread": 1}  # fmt: skip


@pytest.mark.parametrize("name", AXES)
def test_a_batch_on_two_threads(name, monkeypatch):
    (module,), loss, args = CASES[name]()
    parameters = list(module.parameters())
    before = mg.get_num_threads()
    mg.set_num_threads(2)

    def step(x):
        for p in parameters:
            p.grad = None
        mg.parallel.backward(loss, (x,), axes=(AXES[name],), params=parameters, workers=2)

    try:
        check(monkeypatch, step, parameters, *args)
    finally:
        mg.set_num_threads(before)
