"""Products against NumPy and PyTorch, einsum with any subscripts: the edges and the errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.errors import ConfigError, DTypeError, ShapeError
from minigrad.testing import gradcheck, gradgradcheck

RNG = np.random.default_rng(0)


def real(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape)


def leaf(x) -> mg.Tensor:
    return mg.tensor(x, dtype="float64", requires_grad=True)


@st.composite
def products(draw):
    """Shapes that a @ b takes."""
    m, k, n = (draw(st.integers(0, 3)) for _ in range(3))
    lead = draw(st.lists(st.integers(1, 3), max_size=2))
    sides = []
    for shape in ((m, k), (k, n)):
        own = [1 if draw(st.booleans()) else d for d in lead[draw(st.integers(0, len(lead))) :]]
        sides.append((*own, *shape))
    a, b = sides
    if draw(st.integers(0, 4)) == 0:
        a = (k,)
    if draw(st.integers(0, 4)) == 0:
        b = (k,)
    return a, b


@settings(max_examples=150)
@given(products(), st.integers(0, 9))
def test_matmul(shapes, seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.standard_normal(shape) for shape in shapes)
    x, y = leaf(a), leaf(b)
    z = x @ y
    np.testing.assert_allclose(z.numpy(), a @ b, atol=1e-12)
    v = rng.standard_normal(z.shape)
    z.backward(mg.tensor(v))
    # By the definition: Σ over all axes of the product, one element at a time
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    full_a = a[None] if a.ndim == 1 else a
    full_b = b[:, None] if b.ndim == 1 else b
    v = v.reshape((*lead, full_a.shape[-2], full_b.shape[-1]))
    by_a = v @ np.swapaxes(np.broadcast_to(full_b, lead + full_b.shape[-2:]), -1, -2)
    by_b = np.swapaxes(np.broadcast_to(full_a, lead + full_a.shape[-2:]), -1, -2) @ v
    for got, full in ((x.grad, by_a), (y.grad, by_b)):
        shape = got.shape if got.ndim > 1 else full.shape[-2:]
        extra = full.ndim - len(shape)
        axes = tuple(i for i, n in enumerate((1,) * extra + shape) if n == 1 and full.shape[i] != 1)
        expected = full.sum(axis=axes, keepdims=True).reshape(got.shape)
        np.testing.assert_allclose(got.numpy(), expected, atol=1e-12)


def test_matmul_operators_and_layouts():
    x, w = leaf(real(4, 3)), leaf(real(4, 5))
    np.testing.assert_allclose((x.T @ w).numpy(), x.data.T @ w.data)
    product = np.ones((2, 4)) @ mg.tensor(w.data)  # NumPy hands over
    np.testing.assert_allclose(product.numpy(), np.ones((2, 4)) @ w.data)
    (x.T[::-1] @ w[:, ::2]).sum().backward()
    assert x.grad.shape == (4, 3)
    assert isinstance(mg.matmul(np.ones((2, 2)), np.ones((2, 2))), np.ndarray)
    half = mg.ones((2, 3), dtype="float16") @ mg.ones((3, 2), dtype="float16")
    assert half.dtype == np.float16
    assert (mg.arange(3) @ mg.arange(3)).item() == 5
    assert gradcheck(lambda a: a @ a, real(3, 3))
    assert gradgradcheck(lambda a: a @ a.mT, real(2, 3, 3))


@pytest.mark.parametrize(
    ("f", "error", "match"),
    [
        (lambda: mg.ones((2, 3)) @ mg.ones((2, 3)), ShapeError, r"the last axis of a, 3"),
        (lambda: mg.ones((2, 3, 4)) @ mg.ones((3, 4, 2)), ShapeError, "do not broadcast"),
        (lambda: mg.ones((2, 3)) @ mg.tensor(2.0), ShapeError, "0-d"),
        (lambda: mg.linear(mg.ones((2, 3)), mg.ones((4, 2))), ShapeError, r"x \(2, 3\) and weight"),
        (lambda: mg.linear(mg.ones((2, 3)), mg.ones(3)), ShapeError, r"\(…, I\), weight \(O"),
        (lambda: mg.linear(mg.ones(3), mg.ones((4, 3)), mg.ones(3)), ShapeError, r"bias \(3,\)"),
        (lambda: mg.outer(mg.ones((2, 2)), mg.ones(2)), ShapeError, "two vectors"),
        (lambda: mg.vecdot(mg.ones(3), mg.ones(2)), ShapeError, "no common axis -1"),
        (lambda: mg.vecdot(mg.ones(3), mg.ones(3), axis=0), ShapeError, "counted from the end"),
        (lambda: mg.tensordot(mg.ones((2, 3)), mg.ones((2, 3)), axes=1), ShapeError, "differ"),
        (lambda: mg.tensordot(mg.ones(2), mg.ones(2), axes=2), ShapeError, "does not exist"),
        (lambda: mg.trace(mg.ones(3)), ShapeError, "at least 2 axes"),
        (lambda: mg.einsum("ij,jk", mg.ones((2, 3))), ConfigError, "speaks of 2 operands, 1"),
        (lambda: mg.einsum("ij->ii", mg.ones((2, 2))), ConfigError, "each letter of the result"),
        (lambda: mg.einsum("ij->k", mg.ones((2, 2))), ConfigError, "each letter of the result"),
        (lambda: mg.einsum("i1", mg.ones((2, 2))), ConfigError, "axes are letters"),
        (lambda: mg.einsum("ijk", mg.ones((2, 2))), ShapeError, r"'ijk' for an operand of shape"),
        (lambda: mg.einsum("i", mg.ones((2, 2))), ShapeError, r"'i' for an operand"),
        (lambda: mg.einsum("ij,jk", mg.ones((2, 3)), mg.ones((2, 3))), ShapeError, "axis 'j'"),
        (lambda: mg.ones((2, 2)) @ "a", DTypeError, "str"),
    ],
)
def test_what_does_not_fit(f, error, match):
    with pytest.raises(error, match=match):
        f()


def test_linear():
    x, w, b = leaf(real(2, 3, 4)), leaf(real(5, 4)), leaf(real(5))
    y = mg.linear(x, w, b)
    np.testing.assert_allclose(y.numpy(), x.data @ w.data.T + b.data)
    assert [n.op.name for n in (y.node,)] == ["linear"]
    assert mg.linear(x.astype("float32"), w.astype("float32"), b).dtype == np.float64
    np.testing.assert_array_equal(b.data, b.detach().numpy())
    transposed = mg.permute_dims(x, (1, 0, 2))
    assert gradcheck(mg.linear, [transposed.numpy(), w.numpy(), b.numpy()])
    with mg.no_grad():
        assert mg.linear(x, w).node is None


def test_vecdot_outer_tensordot():
    a, b = real(2, 3, 4), real(3, 4)
    np.testing.assert_allclose(mg.vecdot(leaf(a), leaf(b)).numpy(), (a * b).sum(-1))
    np.testing.assert_allclose(mg.vecdot(leaf(a), leaf(b), axis=-2).numpy(), (a * b).sum(-2))
    u, v = a[0, 0], b[:, 0]
    np.testing.assert_allclose(mg.outer(leaf(u), leaf(v)).numpy(), np.outer(u, v))
    for axes in (0, 1, [[2], [1]], [[1, 2], [0, 1]], [[-1, -2], [1, 0]], [[], []]):
        x, y = (a, b.T) if axes == 1 else (a, b)
        got = mg.tensordot(leaf(x), leaf(y), axes=axes)
        np.testing.assert_allclose(got.numpy(), np.tensordot(x, y, axes), atol=1e-12)
        assert gradcheck(lambda p, q: mg.tensordot(p, q, axes=axes), [x, y])  # noqa: B023
    assert gradgradcheck(mg.tensordot, [real(2, 3), real(2, 3)])


def test_vector_norm_and_trace():
    a = real(3, 4)
    np.testing.assert_allclose(mg.vector_norm(leaf(a)).item(), np.linalg.norm(a))
    np.testing.assert_allclose(
        mg.vector_norm(leaf(a), axis=1, keepdims=True, ord=1).numpy(),
        np.abs(a).sum(1, keepdims=True),
    )
    x = leaf(a)
    mg.trace(x, offset=1).backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.eye(3, 4, 1))


# -- einsum --------------------------------------------------------------------------------------


@st.composite
def subscripts(draw):
    """Operands with letters from a small set, repeated ones included, and a result or none."""
    sizes = {c: draw(st.integers(0, 3)) for c in "abcd"}
    terms = [
        "".join(draw(st.lists(st.sampled_from("abcd"), max_size=4)))
        for _ in range(draw(st.integers(1, 3)))
    ]
    text = ",".join(terms)
    if draw(st.booleans()):
        letters = sorted(set("".join(terms)))
        chosen = draw(st.permutations(letters))[: draw(st.integers(0, len(letters)))]
        text += "->" + "".join(chosen)
    return text, [tuple(sizes[c] for c in term) for term in terms]


@settings(max_examples=200)
@given(subscripts(), st.integers(0, 9))
def test_einsum(case, seed):
    text, shapes = case
    rng = np.random.default_rng(seed)
    xs = [rng.standard_normal(shape) for shape in shapes]
    ours = mg.einsum(text, *map(leaf, xs))
    np.testing.assert_allclose(ours.numpy(), np.einsum(text, *xs), atol=1e-10)


@settings(max_examples=20)
@given(subscripts(), st.integers(0, 9))
def test_einsum_gradients(case, seed):
    text, shapes = case
    rng = np.random.default_rng(seed)
    xs = [rng.standard_normal(shape) for shape in shapes]
    if all(x.size for x in xs):
        assert gradcheck(lambda *xs: mg.einsum(text, *xs), xs, atol=1e-5)
        if sum(x.size for x in xs) < 60:
            assert gradgradcheck(lambda *xs: mg.einsum(text, *xs), xs, atol=1e-4)


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        ("...ij,...jk->...ik", [(2, 1, 3, 4), (5, 4, 2)]),
        ("...", [(2, 3)]),
        ("...i->i...", [(2, 3, 4)]),
        ("i...,i", [(2, 3, 4), (2,)]),
        ("a...,...b", [(2, 3), (3, 4)]),
        ("...,...", [(2, 1), (3,)]),
        ("...i->...", [(2, 3)]),
        ("ab,a->b", [(3, 4), (1,)]),
        ("a,ab->b", [(1,), (3, 4)]),
        (" i j , j k -> i k ", [(2, 3), (3, 4)]),
        ("ZaZ->aZ", [(2, 3, 2)]),
        ("", [()]),
        (",", [(), ()]),
    ],
)
def test_einsum_notation(text, shapes):
    xs = [real(*shape) for shape in shapes]
    np.testing.assert_allclose(mg.einsum(text, *map(leaf, xs)).numpy(), np.einsum(text, *xs))
    assert gradcheck(lambda *xs: mg.einsum(text, *xs), xs)


def test_einsum_keeps_the_dtype_and_takes_arrays():
    assert mg.einsum("i,i", mg.ones(3), mg.ones(3)).dtype == np.float32
    assert mg.einsum("i,i", mg.arange(3), mg.arange(3)).item() == 5
    assert isinstance(mg.einsum("ij->ji", np.ones((2, 3))), np.ndarray)
