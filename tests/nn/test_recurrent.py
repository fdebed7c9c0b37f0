"""RNN, LSTM and GRU layers: PyTorch's states and answers, lengths, layers, options, bad input."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import ConfigError, DeviceError, DTypeError, ShapeError

KINDS = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}
kinds = pytest.mark.parametrize("kind", KINDS)

OPTIONS = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu", "num_layers": 2}),
    ("RNN", {"bias": False, "bidirectional": True}),
    ("LSTM", {}),
    ("LSTM", {"num_layers": 3, "bidirectional": True}),
    ("LSTM", {"proj_size": 3, "num_layers": 2, "bidirectional": True}),
    ("LSTM", {"bias": False, "batch_first": True}),
    ("GRU", {}),
    ("GRU", {"num_layers": 2, "bidirectional": True, "batch_first": True}),
    ("GRU", {"bias": False, "num_layers": 2}),
]
options = pytest.mark.parametrize(("kind", "options"), OPTIONS, ids=str)


def pair(state):
    return state if isinstance(state, tuple) else (state,)


def random(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).uniform(-1, 1, shape)


def twins(kind, input_size, hidden_size, **options):
    """A layer of each library with the same parameters."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = getattr(torch.nn, kind)(input_size, hidden_size, dtype=torch.float64, **options)
    ours = KINDS[kind](input_size, hidden_size, dtype="float64", **options)
    ours.load_state_dict(theirs.state_dict())
    return torch, ours, theirs


def gradients_of(layer, x, y, state):
    """Of a fixed function of all outputs, with respect to x and every parameter."""
    total = 0.0
    for k, out in enumerate([y, *pair(state)]):
        weight = random(*out.shape, seed=k + 1)
        weight = mg.asarray(weight) if isinstance(out, mg.Tensor) else out.new_tensor(weight)
        total = (out * weight).sum() + total
    total.backward()
    return [x.grad, *(p.grad for p in layer.parameters())]


def compare(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-9, atol=1e-9)


@options
def test_torch_state_gives_torch_answers(kind, options):
    torch, ours, theirs = twins(kind, 4, 5, **options)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    shape = (3, 6, 4) if options.get("batch_first") else (6, 3, 4)
    x, x_torch = mg.asarray(random(*shape)).requires_grad_(), torch.tensor(random(*shape))
    x_torch.requires_grad_()
    y, state = ours(x)
    y_torch, state_torch = theirs(x_torch)
    compare([y, *pair(state)], [y_torch, *pair(state_torch)])
    compare(gradients_of(ours, x, y, state), gradients_of(theirs, x_torch, y_torch, state_torch))


@options
def test_lengths_and_states_as_torch_packs_them(kind, options):
    torch, ours, theirs = twins(kind, 4, 5, **options)
    lengths, first = [2, 6, 1, 4], bool(options.get("batch_first"))
    x0 = random(4, 6, 4) if first else random(6, 4, 4)
    x, x_torch = mg.asarray(x0).requires_grad_(), torch.tensor(x0, requires_grad=True)
    count = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    sizes = [options.get("proj_size") or 5, 5][: 2 if kind == "LSTM" else 1]
    starts = [random(count, 4, n) for n in sizes]
    given = tuple(mg.asarray(s) for s in starts)
    given_torch = tuple(torch.tensor(s) for s in starts)
    y, state = ours(x, given if kind == "LSTM" else given[0], lengths)
    rnn = torch.nn.utils.rnn
    packed = rnn.pack_padded_sequence(
        x_torch, torch.tensor(lengths), batch_first=first, enforce_sorted=False
    )
    y_torch, state_torch = theirs(packed, given_torch if kind == "LSTM" else given_torch[0])
    y_torch, _ = rnn.pad_packed_sequence(y_torch, batch_first=first, total_length=6)
    compare([y, *pair(state)], [y_torch, *pair(state_torch)])
    compare(gradients_of(ours, x, y, state), gradients_of(theirs, x_torch, y_torch, state_torch))


@kinds
def test_unbatched_as_torch(kind):
    torch, ours, theirs = twins(kind, 4, 5, num_layers=2, bidirectional=True)
    x = random(6, 4)
    y, state = ours(mg.asarray(x))
    y_torch, state_torch = theirs(torch.tensor(x))
    compare([y, *pair(state)], [y_torch, *pair(state_torch)])
    again, _ = ours(mg.asarray(x), state)
    again_torch, _ = theirs(torch.tensor(x), state_torch)
    compare([again], [again_torch])


def test_torch_loads_our_state():
    torch = pytest.importorskip("torch")
    ours = nn.LSTM(4, 5, num_layers=2, bidirectional=True, dtype="float64")
    theirs = torch.nn.LSTM(4, 5, num_layers=2, bidirectional=True, dtype=torch.float64)
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    x = random(6, 3, 4)
    compare([ours(mg.asarray(x))[0]], [theirs(torch.tensor(x))[0]])


# -- lengths -----------------------------------------------------------------------------------


@kinds
def test_padded_batch_is_each_sequence_alone(kind):
    """Through layers and directions: outputs, states, and gradients; padding is NaN."""
    layer = KINDS[kind](4, 5, num_layers=2, bidirectional=True, dtype="float64")
    lengths = (3, 0, 6, 1, 5)
    x0 = random(6, 5, 4)
    for b, length in enumerate(lengths):
        x0[length:, b] = np.nan
    x = mg.asarray(x0).requires_grad_()
    y, state = layer(x, lengths=lengths)
    whole = gradients_of(layer, x, y, state)
    total = [0.0] * len(whole)
    for b, length in enumerate(lengths):
        alone = mg.asarray(x0[:length, b : b + 1]).requires_grad_()
        y_alone, state_alone = layer(alone)
        np.testing.assert_allclose(y.numpy()[:length, b], y_alone.numpy()[:, 0], atol=1e-12)
        assert not y.numpy()[length:, b].any()
        assert not whole[0].numpy()[length:, b].any()
        for s, s_alone in zip(pair(state), pair(state_alone), strict=True):
            np.testing.assert_allclose(s.numpy()[:, b], s_alone.numpy()[:, 0], atol=1e-12)
        layer.zero_grad()
        cotangents = [random(*out.shape, seed=k + 1) for k, out in enumerate([y, *pair(state)])]
        parts = [(y_alone * mg.asarray(cotangents[0][:length, b : b + 1])).sum()]
        for s, v in zip(pair(state_alone), cotangents[1:], strict=True):
            parts.append((s * mg.asarray(v[:, b : b + 1])).sum())
        sum(parts).backward()
        if length:
            mine = whole[0].numpy()[:length, b]
            np.testing.assert_allclose(mine, alone.grad.numpy()[:, 0], atol=1e-12)
        for k, p in enumerate(layer.parameters(), 1):
            total[k] = total[k] + (0.0 if p.grad is None else p.grad.numpy())
    for g, expected in zip(whole[1:], total[1:], strict=True):
        np.testing.assert_allclose(g.numpy(), expected, atol=1e-12)


@kinds
def test_more_padding_changes_nothing(kind):
    layer = KINDS[kind](4, 5, bidirectional=True, dtype="float64")
    x = random(4, 3, 4)
    y, state = layer(mg.asarray(x), lengths=[4, 2, 3])
    longer = np.concatenate([x, np.full((5, 3, 4), np.inf)])
    y_longer, state_longer = layer(mg.asarray(longer), lengths=[4, 2, 3])
    assert np.array_equal(y_longer.numpy()[:4], y.numpy())
    for a, b in zip(pair(state), pair(state_longer), strict=True):
        assert np.array_equal(a.numpy(), b.numpy())


@kinds
def test_reverse_swaps_the_directions(kind):
    layer = KINDS[kind](4, 5, bidirectional=True, dtype="float64")
    x, lengths = random(6, 3, 4), [6, 2, 4]
    flipped = x.copy()
    for b, length in enumerate(lengths):
        flipped[:length, b] = x[:length, b][::-1]
    y, state = layer(mg.asarray(x), lengths=lengths, reverse=True)
    y_flipped, state_flipped = layer(mg.asarray(flipped), lengths=lengths)
    for b, length in enumerate(lengths):
        np.testing.assert_allclose(
            y.numpy()[:length, b], y_flipped.numpy()[:length, b][::-1], atol=1e-13
        )
    for a, b in zip(pair(state), pair(state_flipped), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-13)


# -- states, dropout, devices, dtypes ------------------------------------------------------------


@kinds
def test_state_carries_on(kind):
    layer = KINDS[kind](4, 5, num_layers=2, dtype="float64")
    x = mg.asarray(random(7, 3, 4))
    y, state = layer(x)
    first, middle = layer(x[:3])
    second, last = layer(x[3:], middle)
    np.testing.assert_allclose(mg.concat([first, second]).numpy(), y.numpy(), atol=1e-14)
    for a, b in zip(pair(state), pair(last), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-14)


@kinds
def test_gradients_reach_the_initial_state(kind):
    layer = KINDS[kind](2, 3, num_layers=2, dtype="float64")
    x = mg.asarray(random(3, 2, 2))
    count = 2 if kind == "LSTM" else 1
    states = [random(2, 2, 3, seed=k) for k in range(count)]

    def f(*states):
        return layer(x, states if count == 2 else states[0], [3, 1])[0]

    assert mg.testing.gradcheck(f, states)


@kinds
def test_second_derivatives_of_a_layer(kind):
    layer = KINDS[kind](2, 2, bidirectional=True, dtype="float64")
    assert mg.testing.gradgradcheck(lambda x: layer(x, None, [2, 1])[0], random(2, 2, 2))


@kinds
def test_dropout_acts_between_layers_in_training_only(kind):
    layer = KINDS[kind](4, 5, num_layers=2, dropout=0.5, dtype="float64")
    x = mg.asarray(random(6, 3, 4))
    mg.manual_seed(0)
    one = layer(x)[0].numpy()
    mg.manual_seed(0)
    assert np.array_equal(layer(x)[0].numpy(), one)
    assert not np.array_equal(layer(x)[0].numpy(), one)
    lowest = pair(layer(x)[1])[0][0].numpy()
    calm, state = layer.eval()(x)
    calm = calm.numpy()
    assert np.array_equal(layer(x)[0].numpy(), calm)
    assert not np.array_equal(calm, one)
    assert np.array_equal(pair(state)[0][0].numpy(), lowest)  # the input is never dropped
    layer.train().dropout = 1.0  # the second layer sees nothing: only its biases speak
    silent = layer(x)[0].numpy()
    np.testing.assert_allclose(silent, np.broadcast_to(silent[:, :1], silent.shape))


@kinds
@pytest.mark.parametrize("lengths", [None, [6, 2, 0]], ids=["full", "lengths"])
def test_on_the_strict_device(kind, lengths):
    """CuPy's rules: the same answers, and no gradient lost."""
    layer = KINDS[kind](4, 5, num_layers=2, bidirectional=True)
    results = []
    for device in ("cpu", "strict"):
        layer.to(device)
        x = mg.asarray(random(6, 3, 4).astype(np.float32), device=device).requires_grad_()
        y, state = layer(x, lengths=lengths)
        loss = (y * y).sum() + sum((s * s).sum() for s in pair(state))
        loss.backward()
        results.append([y, *pair(state), x.grad, *(p.grad for p in layer.parameters())])
        assert {str(t.device) for t in results[-1]} == {device}
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-5)


@kinds
def test_fresh_parameters(kind):
    mg.manual_seed(0)
    layer = KINDS[kind](20, 25)
    values = np.concatenate([p.numpy().ravel() for p in layer.parameters()])
    assert values.dtype == np.float32
    assert 0.19 < np.abs(values).max() <= 0.2  # U(±1/√25)
    assert abs(values.mean()) < 0.01
    assert KINDS[kind](2, 3, dtype="float64").weight_ih_l0.dtype == np.float64
    assert str(KINDS[kind](2, 3, device="strict").weight_ih_l0.device) == "strict"


@kinds
def test_one_line_on_the_tape_per_layer_and_direction(kind):
    layer = KINDS[kind](4, 5, num_layers=2, bidirectional=True)
    seen, todo = set(), [layer(mg.zeros((9, 3, 4)))[0].node]
    while todo:
        node = todo.pop()
        if isinstance(node, mg.Node) and node not in seen:
            seen.add(node)
            todo.extend(node.parents)
    assert sorted(n.op.name for n in seen).count(kind.lower()) == 4
    assert len(seen) < 8


def test_repr_tells_the_options():
    layer = nn.LSTM(4, 8, num_layers=2, bidirectional=True, proj_size=3)
    assert repr(layer).startswith("LSTM(4, 8, num_layers=2, bidirectional=True, proj_size=3)")
    assert repr(nn.RNN(4, 8, nonlinearity="relu")).startswith("RNN(4, 8, nonlinearity='relu')")


# -- bad input -----------------------------------------------------------------------------------


def ask(x=(6, 3, 4), state=None, lengths=None, dtype="float32", **options):
    return nn.LSTM(4, 5, **options)(mg.zeros(x, dtype=dtype), state, lengths)


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (ShapeError, r"lstm: x has 9 features, weight_ih_l0 expects 4; x is \(T", {"x": (6, 3, 9)}),
        (ShapeError, r"x is \(B, T, features\)", {"x": (6, 3, 9), "batch_first": True}),
        (ShapeError, r"lstm: x has shape \(6,\), expected \(T, B, features\)", {"x": (6,)}),
        (DTypeError, "lstm: x is int64, weight_ih_l0 is float32", {"dtype": "int64"}),
        (DTypeError, "lstm: x is float64, weight_ih_l0 is float32", {"dtype": "float64"}),
        (ShapeError, r"lstm: lengths\[1\] is 7, expected 0 … 6", {"lengths": [6, 7, 2]}),
        (ShapeError, r"lengths\[0\] is -1", {"lengths": [-1, 6, 2]}),
        (ShapeError, r"lengths have shape \(2,\), expected \(3,\)", {"lengths": [6, 2]}),
        (DTypeError, "lengths are float64, expected integers", {"lengths": [6.0, 2.0, 1.0]}),
    ],
    ids=str,
)
def test_bad_arguments(error, message, arguments):
    with pytest.raises(error, match=message):
        ask(**arguments)


def test_bad_states():
    h, c = mg.zeros((1, 3, 5)), mg.zeros((1, 3, 5))
    with pytest.raises(ShapeError, match=r"lstm: state must be the pair \(h0, c0\)"):
        ask(state=h)
    with pytest.raises(ShapeError, match=r"lstm: c0 has shape \(1, 2, 5\), expected \(1, 3, 5\)"):
        ask(state=(h, c[:, :2]))
    with pytest.raises(ShapeError, match=r"h0 has shape \(1, 3, 5\), expected \(4, 3, 5\): \(lay"):
        ask(state=(h, c), num_layers=2, bidirectional=True)
    with pytest.raises(ShapeError, match=r"h0 has shape \(1, 3, 5\), expected \(1, 5\).*no batch"):
        ask(x=(6, 4), state=(h, c))
    with pytest.raises(ShapeError, match=r"gru: h0 has shape"):
        nn.GRU(4, 5)(mg.zeros((6, 3, 4)), mg.zeros((3, 5)))


def test_mixed_devices():
    with pytest.raises(DeviceError, match="lstm"):
        nn.LSTM(4, 5)(mg.zeros((6, 3, 4), device="strict"))
    with pytest.raises(DeviceError, match="lengths are on strict, x on cpu"):
        ask(lengths=mg.asarray([6, 2, 1], device="strict"))


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("must be positive, got 4, 5 and 0", {"num_layers": 0}),
        ("dropout is 1.5, expected a probability", {"dropout": 1.5, "num_layers": 2}),
        ("proj_size is 5, expected 0", {"proj_size": 5}),
    ],
    ids=str,
)
def test_bad_options(message, options):
    with pytest.raises(ConfigError, match=f"LSTM: .*{message}"):
        nn.LSTM(4, 5, **options)


def test_bad_nonlinearity():
    with pytest.raises(ConfigError, match="RNN: nonlinearity is 'gelu'"):
        nn.RNN(4, 5, nonlinearity="gelu")


def test_dropout_without_a_second_layer_is_said_to_do_nothing():
    with pytest.warns(UserWarning, match="GRU: dropout=0.5 acts between layers"):
        nn.GRU(4, 5, dropout=0.5)
