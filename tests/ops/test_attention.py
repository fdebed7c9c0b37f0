"""Attention ops: rows without anything to attend to, NaN behind masks, dtypes, errors."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import DTypeError, ShapeError
from minigrad.testing import gradcheck, gradgradcheck

RNG = np.random.default_rng(0)
attention = mg.scaled_dot_product_attention


def real(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape)


def leaf(x) -> mg.Tensor:
    return mg.tensor(x, requires_grad=True)


def backward(f, *xs: np.ndarray, create_graph: bool = False):
    """Outputs and gradients for fixed random cotangents."""
    leaves = [leaf(x) for x in xs]
    outs = f(*leaves)
    outs = outs if isinstance(outs, tuple) else (outs,)
    vs = [mg.tensor(np.random.default_rng(1).standard_normal(o.shape), dtype=o.dtype) for o in outs]
    grads = mg.grad(outs, leaves, vs, create_graph=create_graph)
    return [o.numpy() for o in outs], [g.detach().numpy() for g in grads]


# -- masked softmax ------------------------------------------------------------------------------


def test_masked_softmax():
    x = real(3, 4)
    np.testing.assert_allclose(
        mg.masked_softmax(leaf(x)).numpy(), mg.softmax(leaf(x)).numpy(), atol=1e-15
    )
    assert mg.masked_softmax(mg.zeros((2, 0))).shape == (2, 0)
    assert mg.masked_softmax(mg.zeros((0, 2)), axis=0).shape == (0, 2)
    huge = mg.masked_softmax(mg.tensor([1e30, 0.0, -1e30, np.inf]), mg.tensor([True] * 3 + [False]))
    assert huge.tolist() == [1, 0, 0, 0]
    assert mg.masked_softmax(mg.tensor([-np.inf, -np.inf])).tolist() == [0, 0]
    assert mg.masked_softmax(mg.ones(2), mg.zeros(2, dtype="float64")).dtype == np.float32


@pytest.mark.parametrize("create_graph", [False, True])
def test_masked_softmax_hides_everything(create_graph):
    """NaN among the masked scores and in the cotangent of a masked weight."""
    x = real(2, 3)
    x[0, 1] = np.nan
    allowed = np.array([[True, False, True], [False, False, False]])
    xs = leaf(x)
    y = mg.masked_softmax(xs, mg.tensor(allowed))
    v = np.ones((2, 3))
    v[~allowed] = np.nan
    g = mg.grad(y, xs, mg.tensor(v), create_graph=create_graph)
    assert not y.numpy()[~allowed].any()
    np.testing.assert_allclose(y.numpy().sum(1), [1, 0])
    assert np.isfinite(g.numpy()).all()
    assert not g.numpy()[~allowed].any()


# -- scaled dot product --------------------------------------------------------------------------

MASKS = {
    "padding": np.array([[[True, True, False, False]], [[False] * 4]]),
    "per query": np.array([[True, False, True, False]] * 2 + [[False] * 4]),
    "added": np.where([[True, False, True, False]] * 2 + [[False] * 4], 0.3, -np.inf),
}


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", MASKS)
def test_what_is_masked_may_be_nan(name, create_graph):
    """The same outputs and gradients as with numbers there, zeros where nothing is left."""
    mask = MASKS[name]
    q, k, v = real(2, 3, 4), real(2, 4, 4), real(2, 4, 5)
    allowed = np.broadcast_to(mask if mask.dtype == bool else mask > -np.inf, (2, 3, 4))
    rows, columns = allowed.any(2), allowed.any(1)
    f = lambda *xs: attention(*xs, mg.tensor(mask))  # noqa: E731
    clean, clean_grads = backward(f, q, k, v, create_graph=create_graph)
    for x, used in ((q, rows), (k, columns), (v, columns)):
        x[~used] = np.nan
    dirty, dirty_grads = backward(f, q, k, v, create_graph=create_graph)
    for a, b in zip(clean + clean_grads, dirty + dirty_grads, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-14)
    output, weights = dirty
    assert not output[~rows].any()
    assert not weights[~allowed].any()
    np.testing.assert_allclose(weights.sum(-1), rows, atol=1e-12)
    for g, used in zip(dirty_grads, (rows, columns, columns), strict=True):
        assert not g[~used].any()


def test_causal_is_a_mask():
    q, k, v = real(2, 3, 4), real(2, 5, 4), real(2, 5, 2)
    past = mg.tensor(np.tri(3, 5, dtype=bool))
    one = backward(lambda *xs: attention(*xs, past), q, k, v)
    two = backward(lambda *xs: attention(*xs, is_causal=True), q, k, v)
    three = backward(
        lambda *xs: attention(*xs, mg.zeros((3, 5), dtype="float64"), is_causal=True), q, k, v
    )
    for a, b, c in zip(*(o + g for o, g in (one, two, three)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-14)
        np.testing.assert_allclose(a, c, atol=1e-14)


def test_one_output_alone():
    q, k, v = real(2, 3, 4), real(2, 5, 4), real(2, 5, 2)
    assert gradcheck(lambda *xs: attention(*xs)[0], [q, k, v])
    assert gradcheck(lambda q, k: attention(q, k, mg.tensor(v))[1], [q, k])
    assert gradgradcheck(lambda q, k: attention(q, k, mg.tensor(v))[1], [q, k])


def test_only_some_inputs_need_gradients():
    q, k, v = real(3, 4), real(5, 4), real(5, 2)
    for i in range(3):
        xs = [mg.tensor(x) for x in (q, k, v)]
        xs[i].requires_grad_()
        attention(*xs)[0].sum().backward()
        assert [x.grad is not None for x in xs] == [j == i for j in range(3)]
    with mg.no_grad():
        assert not attention(*xs)[0].requires_grad


def test_a_dropout_mask_may_be_learned():
    xs = [real(2, 3, 4), real(2, 5, 4), real(2, 5, 2), real(3, 5)]
    f = lambda q, k, v, d: attention(q, k, v, None, d)  # noqa: E731
    assert gradcheck(f, xs)
    assert gradgradcheck(f, xs)


def test_self_attention_of_one_tensor():
    assert gradcheck(lambda x: attention(x, x, x)[0], real(2, 3, 4))
    assert gradgradcheck(lambda x: attention(x, x, x, is_causal=True)[0], real(3, 2))


def test_views_and_half_precision():
    x = mg.tensor(real(4, 2, 3, 6))
    q, k, v = (mg.permute_dims(t, (1, 2, 0, 3)) for t in mg.split(x, 3, axis=-1))
    output, _ = attention(q, k, v)
    again, _ = attention(*(t.copy() for t in (q, k, v)))
    np.testing.assert_allclose(output.numpy(), again.numpy(), atol=1e-14)
    h = [t.astype("float16") for t in (q, k, v)]
    y, w = attention(*h, mg.ones((4,), dtype=bool))
    assert y.dtype == w.dtype == np.float16
    np.testing.assert_allclose(y.numpy(), output.numpy(), atol=1e-2)
    y, w = attention(*(t.astype("float32") for t in (q, k, v)), mg.zeros((4, 4), dtype="float32"))
    assert y.dtype == w.dtype == np.float32


def test_scores_may_be_large():
    q = mg.tensor([[1e4, 0.0]])
    k = mg.tensor([[1e4, 0.0], [0.0, 1.0]])
    output, weights = attention(q, k, k)
    assert weights.tolist() == [[1, 0]]
    assert np.isfinite(output.numpy()).all()


@pytest.mark.parametrize(
    ("shapes", "mask", "error", "match"),
    [
        (((3, 4), (5, 3), (5, 2)), None, ShapeError, "as many features"),
        (((3, 4), (5, 4), (6, 2)), None, ShapeError, "key and value rows"),
        (((4,), (5, 4), (5, 2)), None, ShapeError, r"expected \(…, L, E\)"),
        (((2, 3, 4), (3, 5, 4), (5, 2)), None, ShapeError, "leading axes"),
        (((3, 4), (5, 4), (5, 2)), np.ones((4, 5), bool), ShapeError, r"mask is \(4, 5\)"),
        (((3, 4), (5, 4), (5, 2)), np.ones((2, 3, 5), bool), ShapeError, "does not broadcast"),
        (((3, 4), (5, 4), (5, 2)), np.ones((3, 5), int), DTypeError, "True = attend"),
    ],
)
def test_what_does_not_fit(shapes, mask, error, match):
    with pytest.raises(error, match=match):
        attention(*(mg.ones(s) for s in shapes), None if mask is None else mg.tensor(mask))


# -- additive ------------------------------------------------------------------------------------


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("steps", [False, True])
def test_additive_padding_may_be_nan(steps, create_graph):
    query = real(2, 3, 4) if steps else real(2, 4)
    keys, values, v = real(2, 5, 4), real(2, 5, 3), real(4)
    allowed = np.arange(5) < np.array([[3], [0]])
    f = lambda *xs: mg.additive_attention(*xs, mg.tensor(allowed))  # noqa: E731
    clean, clean_grads = backward(f, query, keys, values, v, create_graph=create_graph)
    keys[~allowed] = values[~allowed] = np.nan
    dirty, dirty_grads = backward(f, query, keys, values, v, create_graph=create_graph)
    for a, b in zip(clean + clean_grads, dirty + dirty_grads, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-14)
    assert not dirty[0][1].any()
    assert not dirty_grads[0][1].any()
    assert not dirty_grads[1][~allowed].any()


@pytest.mark.parametrize(
    ("shapes", "match"),
    [
        (((2, 4), (2, 5, 3), (2, 5, 3), (4,)), "as many features"),
        (((2, 4), (2, 5, 4), (2, 6, 3), (4,)), "keys and values in S"),
        (((3, 4), (2, 5, 4), (2, 5, 3), (4,)), "agree in B"),
        (((2, 4), (5, 4), (5, 3), (4,)), r"expected \(B, \[T,\] A\)"),
        (((2, 4), (2, 5, 4), (2, 5, 3), (1, 4)), r"\(1, 4\); expected"),
    ],
)
def test_additive_shapes(shapes, match):
    with pytest.raises(ShapeError, match=match):
        mg.additive_attention(*(mg.ones(s) for s in shapes))


def test_empty_memory_gives_zeros():
    query, v = leaf(np.ones((2, 4))), leaf(np.ones(4))
    context, weights = mg.additive_attention(
        query, mg.ones((2, 0, 4), dtype="float64"), mg.ones((2, 0, 3), dtype="float64"), v
    )
    assert weights.shape == (2, 0)
    assert context.tolist() == [[0] * 3] * 2
    context.sum().backward()
    assert not query.grad.numpy().any()


# -- layer normalisation -------------------------------------------------------------------------


def test_layer_norm():
    x = real(2, 3, 4)
    y = mg.layer_norm(leaf(x), 4)
    np.testing.assert_allclose(y.numpy().mean(-1), 0, atol=1e-12)
    np.testing.assert_allclose(y.numpy().var(-1), 1, atol=1e-3)
    bias = np.arange(4.0)
    constant = mg.layer_norm(leaf(np.full((2, 4), 7.0)), (4,), leaf(np.ones(4)), leaf(bias))
    np.testing.assert_array_equal(constant.numpy(), np.tile(bias, (2, 1)))
    assert mg.layer_norm(mg.ones((0, 4)), 4).shape == (0, 4)
    half = mg.layer_norm(mg.tensor([[1e3, -1e3, 6e4, 0.0]], dtype="float16"), 4)
    assert half.dtype == np.float16
    assert np.isfinite(half.numpy()).all()
    assert gradcheck(lambda x: mg.layer_norm(mg.permute_dims(x, (2, 0, 1)), 3), real(2, 3, 4))
    with pytest.raises(ShapeError, match=r"x is \(2, 3\), its last axes should be \(4,\)"):
        mg.layer_norm(mg.ones((2, 3)), 4)
    with pytest.raises(ShapeError, match=r"bias is \(3,\), normalized_shape is \(4,\)"):
        mg.layer_norm(mg.ones((2, 4)), 4, mg.ones(4), mg.ones(3))
    with pytest.raises(ShapeError, match="last axes"):
        mg.layer_norm(mg.ones((2, 4)), ())


def test_layer_norm_far_from_zero():
    """The variance is that of the centred values: no cancellation."""
    x = (1e4 + real(3, 8)).astype("float32")
    got = mg.layer_norm(mg.tensor(x), 8).numpy()
    wide = x.astype("float64")
    expected = (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(got, expected, atol=2e-3)
