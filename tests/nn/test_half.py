"""Layers and losses whose tensors are float16 or bfloat16: results of that type, near float32's."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import minigrad as mg
from minigrad import backend, nn, optim
from minigrad.errors import MissingExtraError

T, B = 4, 3
LAYERS = {
    "Linear": (lambda: nn.Linear(5, 6), (T, B, 5)),
    "LSTM": (lambda: nn.LSTM(5, 6, num_layers=2, bidirectional=True), (T, B, 5)),
    "GRU": (lambda: nn.GRU(5, 6), (T, B, 5)),
    "RNN": (lambda: nn.RNN(5, 6), (T, B, 5)),
    "LSTMCell": (lambda: nn.LSTMCell(5, 6), (B, 5)),
    "LayerNorm": (lambda: nn.LayerNorm(5), (T, B, 5)),
    "Transformer": (lambda: nn.TransformerEncoderLayer(6, 2, 8), (T, B, 6)),
    "Conv1d": (lambda: nn.Conv1d(3, 4, 2), (T, 3, 5)),
    "Dropout": (lambda: nn.Dropout(0.3), (T, 5)),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(5), (B, 5)),
    "Embedding": (lambda: nn.Embedding(9, 5), None),
}


def train(name, dtype, where):
    """Output, gradients and parameters after a step with momentum."""
    make, shape = LAYERS[name]
    mg.manual_seed(1)
    layer = make().to(dtype).to(where)
    if shape is None:
        x, leaves = mg.tensor([[1, 4], [4, 0]], device=where), []
    else:
        drawn = np.random.default_rng(0).standard_normal(shape).astype("float32")
        x = mg.tensor(drawn, device=where).to(dtype).detach().requires_grad_()
        leaves = [x]
    y = layer(x)
    while isinstance(y, tuple):
        y = y[0]
    (y * y).sum().backward()
    leaves += layer.parameters()
    found = [y, *(leaf.grad for leaf in leaves)]
    if list(layer.parameters()):
        optim.SGD(layer.parameters(), lr=0.1, momentum=0.9).step()
    return [*found, *layer.parameters()]


def assert_near(name, dtype, where):
    got, expected = train(name, dtype, where), train(name, "float32", "cpu")
    close = 5e-3 if dtype == "float16" else 2e-2
    for ours, exact in zip(got, expected, strict=True):
        assert ours.dtype.name == dtype
        scale = 1 + np.abs(exact.numpy()).max()
        np.testing.assert_allclose(
            ours.numpy().astype("f8") / scale, exact.numpy() / scale, 0, close
        )


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(
    ("dtype", "where"), [("float16", "cpu"), ("bfloat16", "cpu"), ("float16", "strict")]
)
def test_layers(name, dtype, where):
    pytest.importorskip("ml_dtypes")
    assert_near(name, dtype, where)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_losses_and_attention(dtype):
    pytest.importorskip("ml_dtypes")
    x = np.random.default_rng(0).standard_normal((6, 5)).astype("float32")
    ids, soft = mg.tensor(np.arange(6) % 5), mg.softmax(mg.tensor(x[::-1].copy()))
    for f in (
        lambda x: mg.cross_entropy(x, ids),
        lambda x: mg.cross_entropy(x, soft.to(x.dtype)),
        lambda x: mg.softmax(x).max(),
        lambda x: (mg.scaled_dot_product_attention(x, x, x)[0] ** 2).mean(),
        lambda x: mg.log_softmax(x).mean(),
    ):
        found, expected = (
            mg.value_and_grad(f)(mg.tensor(x).to(dtype)),
            mg.value_and_grad(f)(mg.tensor(x)),
        )
        assert found[1].dtype.name == dtype
        for ours, exact in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours.numpy().astype("f4"), exact.numpy(), 0.05, 0.05)


def test_products_are_summed_in_float32():
    pytest.importorskip("ml_dtypes")
    ones = mg.ones((1, 4096)).to(mg.bfloat16)
    assert (ones @ ones.T).dtype == mg.bfloat16
    assert (ones @ ones.T).item() == 4096  # in bfloat16, 256 + 1 is 256


def test_the_dtype_needs_its_package(monkeypatch):
    assert backend.is_dtype("float16")
    assert not backend.is_dtype("cuda")
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    for ask in (lambda: mg.bfloat16, lambda: nn.Linear(2, 2).to("bfloat16")):
        with pytest.raises(MissingExtraError, match="ml_dtypes is not installed"):
            ask()
