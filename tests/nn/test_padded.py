"""Lengths on the device: steps are masked there, so one captured step takes any lengths."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import DeviceError, DTypeError, ShapeError
from minigrad.testing import strict
from tests.nn import test_in_programs as programs

T, B, I, H = 6, 4, 3, 5
LENGTHS = [6, 0, 3, 1]
OPTIONS = {
    "RNN": (nn.RNN, {}),
    "RNN, relu": (nn.RNN, {"nonlinearity": "relu", "bias": False}),
    "GRU": (nn.GRU, {}),
    "GRU, two": (nn.GRU, {"num_layers": 2, "bidirectional": True, "batch_first": True}),
    "LSTM": (nn.LSTM, {}),
    "LSTM, projected": (nn.LSTM, {"proj_size": 2, "bias": False}),
    "LSTM, two": (nn.LSTM, {"num_layers": 2, "bidirectional": True}),
}


def run(name, where, lengths, reverse, dtype="float64"):
    """Outputs, final states and all gradients; what stands in the padding is NaN."""
    kind, options = OPTIONS[name]
    mg.manual_seed(1)
    layer = kind(I, H, **options, dtype=dtype).to(where)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((T, B, I)).astype(dtype)
    for b, n in enumerate(LENGTHS):
        x[n:, b] = np.nan
    x = x.swapaxes(0, 1) if layer.batch_first else x
    count = layer.num_layers * (1 + layer.bidirectional)
    sizes = (layer.proj_size or H, H)[: len(layer.states)]
    given = [rng.standard_normal((count, B, n)).astype(dtype) for n in sizes]
    x, *states = (mg.tensor(a, device=where, requires_grad=True) for a in (x, *given))
    y, last = layer(x, tuple(states) if len(states) > 1 else states[0], lengths, reverse=reverse)
    found = [y, *(last if isinstance(last, tuple) else (last,))]
    sum((each * each).sum() for each in found).backward()
    leaves = [x, *states, *layer.parameters()]
    return [t.numpy() for t in found] + [t.grad.numpy() for t in leaves]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", OPTIONS)
def test_the_same_as_with_lengths_of_the_host(name, reverse):
    there = mg.asarray(np.array(LENGTHS, np.uint8), device="strict")
    expected = run(name, "cpu", LENGTHS, reverse)
    for ours, theirs in zip(run(name, "strict", there, reverse), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_a_gate_that_holds_holds_in_half_precision(name):
    there = mg.asarray(np.array(LENGTHS), device="strict")
    expected = run(name, "strict", LENGTHS, False, "float16")
    for ours, theirs in zip(run(name, "strict", there, False, "float16"), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("name", programs.CASES)
def test_one_graph_for_all_lengths(name, monkeypatch, caplog):
    function, draw = programs.CASES[name]
    there = mg.compile(mg.value_and_grad(function))
    for _ in range(4):
        first, *others = draw()
        expected = mg.value_and_grad(function)(mg.tensor(first), *map(mg.tensor, others))
        with monkeypatch.context() as patch:
            for module in ("CRF", "CELLS", "LSTM"):
                moved = MOVED.setdefault(module, copy.deepcopy(getattr(programs, module)))
                patch.setattr(programs, module, moved.to("strict"))
            found = there(mg.tensor(first, device="strict"), *others)
        for ours, plain in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours.numpy(), plain.numpy(), rtol=1e-10, atol=1e-12)
    assert not caplog.records, caplog.text
    (captured,) = there.programs.values()
    assert captured.graph is not None


MOVED: dict[str, nn.Module] = {}


def test_nothing_waits():
    layer = nn.LSTM(I, H, bidirectional=True).to("strict")
    x, lengths = mg.ones((T, B, I), device="strict"), mg.asarray(LENGTHS, device="strict")
    attention = nn.AdditiveAttention(2 * H, 2 * H).to("strict")
    with strict.no_sync():
        y, (h, _) = layer(x, lengths=lengths)
        query = mg.concat([h[0], h[1]], axis=-1)
        attention(query, mg.permute_dims(y, (1, 0, 2)), lengths=lengths)[0].sum().backward()


def test_no_steps():
    layer, lengths = nn.GRU(I, H).to("strict"), mg.asarray([0, 0], device="strict")
    state = mg.ones((1, 2, H), device="strict")
    y, h = layer(mg.zeros((0, 2, I), device="strict"), state, lengths)
    assert y.shape == (0, 2, H)
    assert np.array_equal(h.numpy(), state.numpy())


@pytest.mark.parametrize(
    ("lengths", "error", "message"),
    [
        ([1, 2], ShapeError, r"lengths have shape \(2,\), expected \(4,\)"),
        ([1.0] * B, DTypeError, "lengths are float"),
    ],
)
def test_what_does_not_fit(lengths, error, message):
    layer, x = nn.LSTM(I, H).to("strict"), mg.ones((T, B, I), device="strict")
    with pytest.raises(error, match=message):
        layer(x, lengths=mg.asarray(lengths, device="strict"))
    with pytest.raises(DeviceError, match="lengths are on strict, x on cpu"):
        nn.LSTM(I, H)(mg.ones((T, B, I)), lengths=mg.asarray(LENGTHS, device="strict"))


def test_a_mask_on_the_device():
    lengths = mg.asarray([2, 0, 3], device="strict")
    expected = nn.lengths_to_mask([2, 0, 3])
    for size in (None, 3):
        mask = nn.lengths_to_mask(lengths, size, device="strict")
        assert np.array_equal(mask.numpy(), expected.numpy())
