"""Additive, Luong and scaled attention: formulas, masks, padding, the steps of a decoder."""

from __future__ import annotations

import contextlib
import itertools

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import ConfigError, DTypeError, ShapeError
from minigrad.testing import gradcheck, gradgradcheck
from tests.nn.small import LENGTHS, RNG, B, E, L, S, grads, real

# -- lengths --------------------------------------------------------------------------------------


def test_lengths_to_mask():
    mask = nn.lengths_to_mask(LENGTHS, S)
    np.testing.assert_array_equal(mask.numpy(), np.arange(S) < np.array(LENGTHS)[:, None])
    assert nn.lengths_to_mask(np.array([1, 3])).shape == (2, 3)
    assert nn.lengths_to_mask(mg.tensor([2])).tolist() == [[True, True]]
    assert nn.lengths_to_mask([]).shape == (0, 0)


@pytest.mark.parametrize("lengths", [[-1], [6], [[1, 2]], [1.5]])
def test_lengths_that_do_not_fit(lengths):
    with pytest.raises(ShapeError, match="lengths_to_mask"):
        nn.lengths_to_mask(lengths, S)


# -- additive and Luong ---------------------------------------------------------------------------


def layers(dtype: str = "float64") -> dict[str, nn.Module]:
    made = {
        "additive": nn.AdditiveAttention(6, E, 7),
        "dot": nn.LuongAttention(E),
        "general": nn.LuongAttention(6, E, "general"),
        "concat": nn.LuongAttention(6, E, "concat", 7),
    }
    return {name: layer.to(dtype) for name, layer in made.items()}


NAMES = list(layers())


def score(layer: nn.Module, q: np.ndarray, m: np.ndarray) -> float:
    """The papers' formulas."""
    if isinstance(layer, nn.AdditiveAttention):
        W, U = layer.query_layer.weight.numpy(), layer.memory_layer.weight.numpy()
        return float(layer.v.numpy() @ np.tanh(W @ q + U @ m))
    if layer.score == "dot":
        return float(q @ m)
    if layer.score == "general":
        return float(q @ layer.weight.numpy() @ m)
    return float(layer.v.numpy() @ np.tanh(layer.weight.numpy() @ np.concatenate([q, m])))


@pytest.mark.parametrize("name", NAMES)
def test_formula(name):
    layer = layers()[name]
    query, memory = real(B, L, layer.query_size), real(B, S, E)
    context, weights = layer(mg.tensor(query), mg.tensor(memory), lengths=LENGTHS)
    assert context.shape == (B, L, E)
    assert weights.shape == (B, L, S)
    for b, t in itertools.product(range(B), range(L)):
        n = LENGTHS[b]
        scores = np.array([score(layer, query[b, t], memory[b, s]) for s in range(n)])
        expected = np.exp(scores) / np.exp(scores).sum()
        np.testing.assert_allclose(weights.numpy()[b, t, :n], expected, atol=1e-12)
        assert not weights.numpy()[b, t, n:].any()
        np.testing.assert_allclose(context.numpy()[b, t], expected @ memory[b, :n], atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_one_step_is_a_step_of_many(name):
    layer = layers()[name]
    query, memory = mg.tensor(real(B, L, layer.query_size)), mg.tensor(real(B, S, E))
    mask = nn.lengths_to_mask(LENGTHS, S)
    keys = layer.project_keys(memory)
    context, weights = layer(query, memory, lengths=LENGTHS)
    for t in range(L):
        c, w = layer(query[:, t], memory, keys=keys, mask=mask)
        np.testing.assert_allclose(c.numpy(), context.numpy()[:, t], atol=1e-12)
        np.testing.assert_allclose(w.numpy(), weights.numpy()[:, t], atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("steps", [False, True])
def test_gradients(name, steps):
    layer = layers()[name]
    query = real(2, 2, layer.query_size) if steps else real(2, layer.query_size)
    memory = real(2, 3, E)
    names = [name for name, _ in layer.named_parameters()]
    values = [p.numpy().copy() for p in layer.parameters()]

    def f(q, m, *ps):
        with replaced(layer, dict(zip(names, ps, strict=True))):
            return layer(q, m, lengths=[3, 1])

    assert gradcheck(f, [query, memory, *values])
    if not steps:
        assert gradgradcheck(f, [query, memory, *values], atol=1e-5)


@contextlib.contextmanager
def replaced(layer: nn.Module, tensors: dict[str, mg.Tensor]):
    """The layer with other tensors as its parameters."""
    old = {}
    try:
        for path, t in tensors.items():
            owner = layer
            *parents, name = path.split(".")
            for parent in parents:
                owner = getattr(owner, parent)
            old[path] = owner, name, owner.__dict__[name]
            owner.__dict__[name] = t
        yield
    finally:
        for owner, name, t in old.values():
            owner.__dict__[name] = t


@pytest.mark.parametrize("name", NAMES)
def test_padding_changes_nothing(name):
    """Each sequence alone gives the same context and gradients, and padding may be NaN."""
    query, memory = real(B, 8)[:, : layers()[name].query_size], real(B, S, E)
    layer = layers()[name]
    dirty = memory.copy()
    for b, n in enumerate(LENGTHS):
        dirty[b, n:] = np.nan
    q, m = mg.tensor(query, requires_grad=True), mg.tensor(dirty, requires_grad=True)
    v = real(B, E)
    context, weights = layer(q, m, lengths=LENGTHS)
    ((context * v).sum() + (weights * weights).sum()).backward()
    together = grads(layer)
    layer.zero_grad()
    for b, n in enumerate(LENGTHS):
        if n == 0:
            assert not context.numpy()[b].any()
            assert not weights.numpy()[b].any()
            assert not q.grad.numpy()[b].any()
            assert not m.grad.numpy()[b].any()
            continue
        q1 = mg.tensor(query[b : b + 1], requires_grad=True)
        m1 = mg.tensor(memory[b : b + 1, :n], requires_grad=True)
        c1, w1 = layer(q1, m1)
        ((c1 * v[b]).sum() + (w1 * w1).sum()).backward()
        np.testing.assert_allclose(context.numpy()[b], c1.numpy()[0], atol=1e-12)
        np.testing.assert_allclose(weights.numpy()[b, :n], w1.numpy()[0], atol=1e-12)
        np.testing.assert_allclose(q.grad.numpy()[b], q1.grad.numpy()[0], atol=1e-12)
        np.testing.assert_allclose(m.grad.numpy()[b, :n], m1.grad.numpy()[0], atol=1e-12)
        assert not m.grad.numpy()[b, n:].any()
    for path, g in grads(layer).items():
        np.testing.assert_allclose(together[path], g, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_float32_stays(name):
    layer = layers("float32")[name]
    query, memory = mg.ones((B, layer.query_size)), mg.ones((B, S, E))
    context, weights = layer(query, memory, lengths=LENGTHS)
    assert context.dtype == weights.dtype == np.float32


def test_a_mask_for_each_step():
    layer = layers()["additive"]
    query, memory = mg.tensor(real(B, L, 6)), mg.tensor(real(B, S, E))
    mask = RNG.random((B, L, S)) < 0.5
    _, weights = layer(query, memory, mask=mg.tensor(mask))
    assert not weights.numpy()[~mask].any()
    _, same = layer(query[:, 1], memory, mask=mg.tensor(mask[:, 1]))
    np.testing.assert_allclose(same.numpy(), weights.numpy()[:, 1], atol=1e-12)


def test_what_does_not_fit():
    attention = nn.AdditiveAttention(6, E)
    query, memory = mg.ones((B, 6)), mg.ones((B, S, E))
    with pytest.raises(ShapeError, match=r"query is \(3, 7\), expected \(B, 6\)"):
        attention(mg.ones((B, 7)), memory)
    with pytest.raises(ShapeError, match=r"memory is \(5, 3, 8\).*batch first"):
        attention(query, mg.ones((S, B, E)))
    with pytest.raises(ShapeError, match="2 lengths for a batch of 3"):
        attention(query, memory, lengths=[1, 2])
    with pytest.raises(ConfigError, match="not both"):
        attention(query, memory, lengths=LENGTHS, mask=nn.lengths_to_mask(LENGTHS, S))
    with pytest.raises(ShapeError, match="does not broadcast"):
        attention(query, memory, mask=mg.ones((B, S + 1), dtype=bool))
    with pytest.raises(DTypeError, match="give bool"):
        attention(query, memory, mask=mg.ones((B, S), dtype="int64"))
    with pytest.raises(ShapeError, match="keys"):
        attention(query, memory, keys=mg.ones((B, S + 1, 6)))
    with pytest.raises(ConfigError, match="'general'"):
        nn.LuongAttention(6, E)
    with pytest.raises(ConfigError, match="'cosine'"):
        nn.LuongAttention(6, score="cosine")


def test_parameters_have_names():
    shapes = {path: t.shape for path, t in nn.AdditiveAttention(6, E, 7).state_dict().items()}
    assert shapes == {"v": (7,), "query_layer.weight": (7, 6), "memory_layer.weight": (7, E)}
    assert list(nn.LuongAttention(6, E, "concat").state_dict()) == ["weight", "v"]
    assert not nn.LuongAttention(6).state_dict()
    assert "6, 8, 7" in repr(nn.AdditiveAttention(6, E, 7))
    assert "'general'" in repr(nn.LuongAttention(6, E, "general"))


# -- scaled dot product ---------------------------------------------------------------------------


def test_scaled_dot_product_layer():
    layer = nn.ScaledDotProductAttention(dropout=0.5)
    q, k, v = (mg.tensor(real(B, n, E)) for n in (L, S, S))
    mg.manual_seed(0)
    output, weights = layer(q, k, v, nn.lengths_to_mask(LENGTHS, S)[:, None])
    assert not weights.numpy()[1].any()
    assert ((weights.numpy()[0] == 0).sum()) > 0  # dropped
    np.testing.assert_allclose(output.numpy(), weights.numpy() @ v.numpy(), atol=1e-12)
    layer.eval()
    _, weights = layer(q, k, v, is_causal=True)
    np.testing.assert_allclose(weights.numpy().sum(-1), 1)
    assert not np.triu(weights.numpy(), 1).any()
    assert "dropout=0.5" in repr(layer)
    with pytest.raises(ConfigError, match="probability"):
        nn.ScaledDotProductAttention(dropout=1.5)(q, k, v)
