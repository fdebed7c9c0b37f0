"""Bidirectional: merge modes, lengths, any layer, fresh weights."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import ConfigError, ShapeError
from minigrad.nn.bidirectional import reverse_sequences

MERGES = {
    "concat": lambda a, b: np.concatenate([a, b], axis=-1),
    "sum": np.add,
    "mul": np.multiply,
    "ave": lambda a, b: (a + b) / 2,
}
LENGTHS = [5, 0, 2, 1]


def random(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).uniform(-1, 1, shape)


def flipped(x, lengths):
    y = x.copy()
    for b, length in enumerate(lengths):
        y[:length, b] = x[:length, b][::-1]
    return y


class Accumulate(nn.Module):
    """A recurrent layer of somebody else: the running sum, scaled. Knows nothing of `reverse`."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(mg.asarray(2.0, dtype="float64"))

    def forward(self, x, state=None, lengths=None):
        y = mg.cumulative_sum(x, axis=0) * self.scale
        return y, y[-1]


@pytest.mark.parametrize("mode", MERGES)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "lengths"])
def test_merge_modes(mode, lengths):
    layers = nn.GRU(3, 4, dtype="float64"), nn.GRU(3, 4, dtype="float64")
    both = nn.Bidirectional(*layers, merge_mode=mode)
    x = random(5, 4, 3)
    y, (last, last_back) = both(mg.asarray(x), lengths=lengths)
    ends = lengths or [5] * 4
    a, state = layers[0](mg.asarray(x), lengths=lengths)
    b, state_back = layers[1](mg.asarray(flipped(x, ends)), lengths=lengths)
    expected = MERGES[mode](a.numpy(), flipped(b.numpy(), ends))
    np.testing.assert_allclose(y.numpy(), expected, atol=1e-13)
    np.testing.assert_allclose(last.numpy(), state.numpy(), atol=1e-13)
    np.testing.assert_allclose(last_back.numpy(), state_back.numpy(), atol=1e-13)


def test_no_merge_gives_the_pair():
    both = nn.Bidirectional(nn.RNN(3, 4), merge_mode=None)
    (a, b), _ = both(mg.zeros((5, 2, 3)))
    assert a.shape == b.shape == (5, 2, 4)


@pytest.mark.parametrize("first", [False, True], ids=["time first", "batch first"])
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_as_the_bidirectional_layer(kind, first):
    whole = getattr(nn, kind)(3, 4, bidirectional=True, batch_first=first, dtype="float64")
    halves = [getattr(nn, kind)(3, 4, batch_first=first, dtype="float64") for _ in range(2)]
    state = whole.state_dict()
    for half, end in zip(halves, ("", "_reverse"), strict=True):
        half.load_state_dict({k: state[k + end] for k in half.state_dict()})
    both = nn.Bidirectional(*halves)
    x = mg.asarray(random(4, 5, 3) if first else random(5, 4, 3))
    y, last = whole(x, lengths=LENGTHS)
    y_both, (ahead, back) = both(x, lengths=LENGTHS)
    np.testing.assert_allclose(y_both.numpy(), y.numpy(), atol=1e-14)
    for k, half in enumerate((ahead, back)):
        given, expected = (half[0], last[0]) if kind == "LSTM" else (half, last)
        np.testing.assert_allclose(given.numpy()[0], expected.numpy()[k], atol=1e-14)
    again, _ = both(x, (ahead, back), LENGTHS)
    assert not np.array_equal(again.numpy(), y.numpy())


def test_any_layer_with_the_call_can_be_wrapped():
    both = nn.Bidirectional(Accumulate(), Accumulate(), merge_mode="sum")
    x = random(5, 4, 3)
    for b, length in enumerate(LENGTHS):
        x[length:, b] = 0
    y, _ = both(mg.asarray(x), lengths=LENGTHS)
    back = flipped(np.cumsum(flipped(x, LENGTHS), axis=0), LENGTHS)
    np.testing.assert_allclose(y.numpy(), 2 * (np.cumsum(x, axis=0) + back), atol=1e-14)


def test_gradients_through_both():
    both = nn.Bidirectional(nn.LSTM(2, 2, dtype="float64"), merge_mode="mul")
    assert mg.testing.gradcheck(lambda x: both(x, lengths=[3, 1])[0], random(3, 2, 2))
    foreign = nn.Bidirectional(Accumulate(), Accumulate(), merge_mode="mul")
    assert mg.testing.gradcheck(lambda x: foreign(x, lengths=[3, 1])[0], random(3, 2, 2))


def test_the_copy_has_fresh_weights_of_its_own():
    mg.manual_seed(0)
    layer = nn.LSTM(3, 4, num_layers=2)
    both = nn.Bidirectional(layer)
    assert both.forward_layer is layer
    names = list(both.state_dict())
    assert names[0] == "forward_layer.weight_ih_l0"
    assert names[-1] == "backward_layer.bias_hh_l1"
    for a, b in zip(both.forward_layer.parameters(), both.backward_layer.parameters(), strict=True):
        assert a.shape == b.shape
        assert not np.array_equal(a.numpy(), b.numpy())
        assert np.abs(b.numpy()).max() <= 0.5  # U(±1/√4)
    y, _ = both(mg.zeros((5, 2, 3)))
    y.sum().backward()
    assert all(p.grad is not None for p in both.parameters())


def test_a_copy_that_cannot_be_redrawn_is_refused():
    with pytest.raises(ConfigError, match=r"Accumulate has no reset_parameters\(\).*backward_l"):
        nn.Bidirectional(Accumulate())


def test_bad_options_and_states():
    with pytest.raises(ConfigError, match="merge_mode is 'max', expected 'concat', 'sum'"):
        nn.Bidirectional(nn.RNN(3, 4), merge_mode="max")
    with pytest.raises(ConfigError, match="differ in batch_first"):
        nn.Bidirectional(nn.RNN(3, 4), nn.RNN(3, 4, batch_first=True))
    with pytest.raises(ShapeError, match=r"must be the pair \(forward, backward\)"):
        nn.Bidirectional(nn.RNN(3, 4))(mg.zeros((5, 2, 3)), mg.zeros((1, 2, 4)))
    assert "merge_mode='ave'" in repr(nn.Bidirectional(nn.RNN(3, 4), merge_mode="ave"))


def test_reverse_sequences():
    x = random(5, 4, 3)
    given = mg.asarray(x)
    assert np.array_equal(reverse_sequences(given).numpy(), x[::-1])
    assert np.array_equal(reverse_sequences(given, LENGTHS).numpy(), flipped(x, LENGTHS))
    turned = reverse_sequences(mg.asarray(x.swapaxes(0, 1)), LENGTHS, batch_first=True)
    assert np.array_equal(turned.numpy().swapaxes(0, 1), flipped(x, LENGTHS))
    back = reverse_sequences(reverse_sequences(given, LENGTHS), LENGTHS)
    assert np.array_equal(back.numpy(), x)


def test_on_the_strict_device():
    both = nn.Bidirectional(nn.GRU(3, 4, dtype="float64"))
    x = random(5, 4, 3)
    here = both(mg.asarray(x), lengths=LENGTHS)[0].numpy()
    there = both.to("strict")(mg.asarray(x, device="strict"), lengths=LENGTHS)[0]
    np.testing.assert_allclose(there.numpy(), here, atol=1e-12)
    foreign = nn.Bidirectional(Accumulate(), Accumulate()).to("strict")
    y, _ = foreign(mg.asarray(x, device="strict"), lengths=LENGTHS)
    assert y.shape == (5, 4, 6)
