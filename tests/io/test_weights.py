"""Weights of PyTorch, Keras and Chainer, both ways: the same outputs, the same arrays again."""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors, io, nn

KINDS = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}
KERAS = {"RNN": "SimpleRNN", "LSTM": "LSTM", "GRU": "GRU"}


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


class Tagger(nn.Module):
    def __init__(self, kind="LSTM"):
        super().__init__()
        self.embed = nn.Embedding(11, 4)
        self.rnn = KINDS[kind](4, 5, 2, bidirectional=True)
        self.head = nn.Linear(10, 3)

    def forward(self, ids):
        return self.head(self.rnn(self.embed(ids))[0])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# -- PyTorch ---------------------------------------------------------------------------------------


def torch_tagger(torch, kind):
    class Twin(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = torch.nn.Embedding(11, 4)
            self.rnn = getattr(torch.nn, kind)(4, 5, 2, bidirectional=True)
            self.head = torch.nn.Linear(10, 3)

        def forward(self, ids):
            return self.head(self.rnn(self.embed(ids))[0])

    return Twin()


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_pytorch_both_ways(kind, tmp_path):
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    twin, mine = torch_tagger(torch, kind), Tagger(kind)
    ids = np.random.default_rng(0).integers(0, 11, (6, 2))
    safetensors.save_file(twin.state_dict(), tmp_path / "theirs.safetensors")
    mine.load_state_dict(io.load_torch(tmp_path / "theirs.safetensors"))
    expected = twin(torch.tensor(ids)).detach().numpy()
    np.testing.assert_allclose(mine(mg.tensor(ids)).numpy(), expected, atol=1e-6)

    mine = Tagger(kind)
    io.save_torch(tmp_path / "mine.safetensors", mine)
    twin.load_state_dict(safetensors.load_file(tmp_path / "mine.safetensors"))
    expected = twin(torch.tensor(ids)).detach().numpy()
    np.testing.assert_allclose(mine(mg.tensor(ids)).numpy(), expected, atol=1e-6)


def test_a_part_of_a_model_and_a_folder_of_shards(tmp_path):
    model = Tagger()
    state = model.state_dict()
    names = list(state)
    parts = {"a.safetensors": names[:3], "b.safetensors": names[3:]}
    for file, keys in parts.items():
        io.save_torch(tmp_path / file, {key: state[key] for key in keys})
    index = {"weight_map": {key: file for file, keys in parts.items() for key in keys}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    head = nn.Linear(10, 3)
    head.load_state_dict(io.load_torch(tmp_path, prefix="head."))
    np.testing.assert_array_equal(head.weight.numpy(), model.head.weight.numpy())
    assert set(io.load_torch(tmp_path)) == set(names)
    with pytest.raises(errors.CheckpointError, match="begins with 'tail"):
        io.load_torch(tmp_path, prefix="tail.")
    index["weight_map"]["more"] = "a.safetensors"
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(errors.CheckpointError, match="more"):
        io.load_torch(tmp_path)
    index["weight_map"]["more"] = "../a.safetensors"
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(errors.CheckpointError, match="not a file of this folder"):
        io.load_torch(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("{")
    with pytest.raises(errors.CheckpointError, match="damaged"):
        io.load_torch(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(errors.CheckpointError, match=r"no model\.safetensors"):
        io.load_torch(tmp_path / "empty")


# -- Keras: arrays ---------------------------------------------------------------------------------


def keras_lstm(x, kernel, recurrent, bias):
    """Keras's LSTMCell, gates i f c o, over x (T, I)."""
    h = c = np.zeros(recurrent.shape[0])
    for x_t in x:
        i, f, g, o = np.split(x_t @ kernel + h @ recurrent + bias, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    return h


def keras_gru(x, kernel, recurrent, bias):
    """Keras's GRUCell with reset_after, gates z r h."""
    h = np.zeros(recurrent.shape[0])
    for x_t in x:
        xz, xr, xh = np.split(x_t @ kernel + bias[0], 3)
        hz, hr, hh = np.split(h @ recurrent + bias[1], 3)
        z, r = sigmoid(xz + hz), sigmoid(xr + hr)
        h = z * h + (1 - z) * np.tanh(xh + r * hh)
    return h


def keras_rnn(x, kernel, recurrent, bias):
    h = np.zeros(recurrent.shape[0])
    for x_t in x:
        h = np.tanh(x_t @ kernel + h @ recurrent + bias)
    return h


FORMULAS = {"LSTM": (keras_lstm, 4), "GRU": (keras_gru, 3), "RNN": (keras_rnn, 1)}


@pytest.mark.parametrize("kind", KINDS)
def test_keras_arrays_compute_what_keras_computes(kind):
    formula, gates = FORMULAS[kind]
    arrays = [draw(3, gates * 4), draw(4, gates * 4, seed=1)]
    arrays.append(draw(2, 12, seed=2) if kind == "GRU" else draw(gates * 4, seed=2))
    x = draw(6, 3, seed=3)
    layer = KINDS[kind](3, 4)
    layer.load_state_dict(io.from_keras(KERAS[kind], arrays))
    y, _ = layer(mg.tensor(x[:, None]))
    np.testing.assert_allclose(y.numpy()[-1, 0], formula(x, *arrays), atol=1e-6)
    for a, b in zip(io.to_keras(layer), arrays, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_our_layers_through_keras_and_back(kind, bias):
    layer = KINDS[kind](3, 4, 2, bidirectional=True, bias=bias)
    again = KINDS[kind](3, 4, 2, bidirectional=True, bias=bias)
    state = {}
    for number in range(2):
        arrays = io.to_keras(layer, layer=number)
        assert len(arrays) == (6 if bias else 4)
        state.update(io.from_keras(f"Bidirectional {KERAS[kind]}", arrays, layer=number))
    again.load_state_dict(state)
    x = mg.tensor(draw(5, 2, 3))
    np.testing.assert_allclose(again(x)[0].numpy(), layer(x)[0].numpy(), atol=1e-6)


def test_other_layers_of_keras():
    for module in (
        nn.Linear(3, 2),
        nn.Linear(3, 2, bias=False),
        nn.Embedding(5, 2),
        nn.LayerNorm(3),
    ):
        kind = {"Linear": "Dense", "LayerNorm": "LayerNormalization"}.get(
            type(module).__name__, "Embedding"
        )
        again = io.from_keras(kind, io.to_keras(module))
        assert list(again) == list(module.state_dict())
        for key, value in module.state_dict().items():
            np.testing.assert_array_equal(again[key], value.numpy())
    assert io.from_keras("Conv1D", [draw(3, 4, 5), draw(5)])["weight"].shape == (5, 4, 3)


@pytest.mark.parametrize(
    ("kind", "shapes", "message"),
    [
        ("GRU", [(3, 12), (4, 12), (12,)], "reset_after"),
        ("LSTM", [(3, 12), (4, 12), (12,)], "4 units"),
        ("LSTM", [(3, 16)], "2 or 3 arrays"),
        ("Dense", [(3, 2), (2,), (2,)], "3 arrays"),
        ("Dense", [(3,)], "2 axes"),
        ("Embedding", [(3, 2), (2,)], "2 arrays"),
    ],
)
def test_arrays_that_are_not_those_of_the_layer(kind, shapes, message):
    with pytest.raises(errors.CheckpointError, match=message):
        io.from_keras(kind, [draw(*s) for s in shapes])


def test_modules_that_keras_lacks():
    for module in (nn.LSTM(3, 4, proj_size=2), nn.MultiheadAttention(4, 2)):
        with pytest.raises(errors.CheckpointError, match="to_keras"):
            io.to_keras(module)
    with pytest.raises(errors.CheckpointError, match="layer 1"):
        io.to_keras(nn.LSTM(3, 4), layer=1)


# -- Keras: files ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    pytest.importorskip("h5py")
    pytest.importorskip("torch")
    return pytest.importorskip("keras")


def keras_tagger(keras, kind):
    layers = keras.layers
    rnn = getattr(layers, KERAS[kind])
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(11, 4, name="table"),
            layers.Bidirectional(rnn(5, return_sequences=True), name="low"),
            layers.Bidirectional(rnn(5, return_sequences=True, dropout=0.1), name="high"),
            layers.Dense(3, name="logits"),
        ]
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside Keras
@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_keras_both_ways(keras, kind, suffix, tmp_path):
    model, mine = keras_tagger(keras, kind), Tagger(kind)
    for w in model.weights:  # biases are zeros at first
        w.assign(
            draw(*w.shape, seed=sum(map(ord, w.path)) % 1000) / 3
        ) if w.dtype != "uint32" else 0
    ids = np.random.default_rng(0).integers(0, 11, (2, 6))
    path = tmp_path / f"theirs{suffix}"
    model.save(path) if suffix == ".keras" else model.save_weights(path)
    names = {"table": "embed", "low": "rnn", "high": ("rnn", 1), "logits": "head"}
    mine.load_state_dict(io.load_keras(path, names=names))
    expected = keras.ops.convert_to_numpy(model(ids)).swapaxes(0, 1)
    np.testing.assert_allclose(mine(mg.tensor(ids.T)).numpy(), expected, atol=2e-6)

    mine = Tagger(kind)
    parts = {"embedding": mine.embed, "bidirectional": mine.rnn, "bidirectional_1": (mine.rnn, 1)}
    io.save_keras(tmp_path / "mine.weights.h5", {**parts, "dense": mine.head})
    model.load_weights(tmp_path / "mine.weights.h5")
    expected = keras.ops.convert_to_numpy(model(ids)).swapaxes(0, 1)
    np.testing.assert_allclose(mine(mg.tensor(ids.T)).numpy(), expected, atol=2e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside Keras
def test_names_by_default_and_files_that_are_none(keras, tmp_path):
    x = keras.Input((None, 3))
    y = keras.layers.LSTM(4, name="encoder")(x)
    model = keras.Model(x, keras.layers.Dense(2, use_bias=False, name="out")(y))
    model.save_weights(tmp_path / "a.weights.h5")
    state = io.load_keras(tmp_path / "a.weights.h5")
    assert set(state) == {
        *(f"encoder.{k}_l0" for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")),
        "out.weight",
    }
    assert state["out.weight"].shape == (2, 4)
    with pytest.raises(errors.CheckpointError, match=r"'out'.*other than 1"):
        io.load_keras(tmp_path / "a.weights.h5", kinds={"out": "BatchNormalization"})
    (tmp_path / "b.keras").write_bytes(b"nothing")
    for name in ("b.keras", "absent.keras"):
        with pytest.raises(errors.CheckpointError, match=name):
            io.load_keras(tmp_path / name)


def test_keras_files_without_h5py(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(errors.MissingExtraError, match="keras"):
        io.load_keras(tmp_path / "a.keras")


# -- Chainer ---------------------------------------------------------------------------------------


def chainer_lstm(x, arrays):
    """links.LSTM: functions.lstm on upward(x) + lateral(h), gates a i f o, interleaved."""
    H = arrays["lateral/W"].shape[1]
    h = c = np.zeros(H)
    for x_t in x:
        z = arrays["upward/W"] @ x_t + arrays["upward/b"] + arrays["lateral/W"] @ h
        a, i, f, o = z.reshape(H, 4).T
        c = np.tanh(a) * sigmoid(i) + sigmoid(f) * c
        h = sigmoid(o) * np.tanh(c)
    return h


def chainer_n_step_lstm(x, p):
    """functions.n_step_lstm, one layer: gates i f a o."""
    h = c = np.zeros(len(p["0/b0"]))
    for x_t in x:
        i, f, a, o = (
            p[f"0/w{k}"] @ x_t + p[f"0/b{k}"] + p[f"0/w{k + 4}"] @ h + p[f"0/b{k + 4}"]
            for k in range(4)
        )
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(a)
        h = sigmoid(o) * np.tanh(c)
    return h


def test_the_lstm_of_chainer():
    arrays = {
        "upward/W": draw(16, 3),
        "upward/b": draw(16, seed=1),
        "lateral/W": draw(16, 4, seed=2),
    }
    x = draw(6, 3, seed=3)
    layer = nn.LSTM(3, 4)
    layer.load_state_dict(io.from_chainer(arrays))
    y = layer(mg.tensor(x[:, None]))[0].numpy()[-1, 0]
    np.testing.assert_allclose(y, chainer_lstm(x, arrays), atol=1e-6)


def test_our_lstm_in_chainer():
    layer, x = nn.LSTM(3, 4), draw(6, 3)
    expected = layer(mg.tensor(x[:, None]))[0].numpy()[-1, 0]
    np.testing.assert_allclose(chainer_n_step_lstm(x, io.to_chainer(layer)), expected, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_through_a_file_of_chainer(kind, tmp_path):
    model, again = Tagger(kind), Tagger(kind)
    io.save_chainer(tmp_path / "a.npz", model)
    with np.load(tmp_path / "a.npz") as file:
        assert {"embed/W", "head/W", "head/b", "rnn/0/w0", "rnn/3/b1"} <= set(file.files)
    again.load_state_dict(io.load_chainer(tmp_path / "a.npz", directions=2))
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[key].numpy(), value.numpy())


def test_what_cannot_come_from_chainer_or_go_there(tmp_path):
    for bad, message in (
        ({"g/U_r/W": 1, "g/W_r/W": 1, "g/W_bar": 1}, "not converted"),
        ({"l/0/w0": 1, "l/0/w1": 1, "l/0/w2": 1}, "3 matrices"),
        ({"l/0/w0": 1, "l/0/w1": 1, "l/0/b0": 1}, "lacks 'b1'"),
        ({"upward/W": 1}, "four per unit"),
    ):
        with pytest.raises(errors.CheckpointError, match=message):
            io.from_chainer({k: draw(3, 3) for k in bad})
    with pytest.raises(errors.CheckpointError, match="LayerNorm"):
        io.to_chainer(nn.Sequential(nn.LayerNorm(3)))
    (tmp_path / "a.npz").write_bytes(b"nothing")
    for name in ("a.npz", "absent.npz"):
        with pytest.raises(errors.CheckpointError, match=name):
            io.load_chainer(tmp_path / name)
    np.savez(tmp_path / "b.npz", **{"l/c": draw(2)})
    with pytest.raises(errors.CheckpointError, match=r"b\.npz.*not converted"):
        io.load_chainer(tmp_path / "b.npz")
