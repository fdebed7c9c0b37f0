"""What the op table does not say about shapes: edges, errors, what is a view, memory order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad.errors import ConfigError, InPlaceError, ShapeError

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def numbers(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(float(np.prod(shape, dtype=int))).reshape(shape)


def tensor(x) -> mg.Tensor:
    return mg.tensor(x, dtype="float64", requires_grad=True)


def check(y: mg.Tensor, expected: np.ndarray, x: mg.Tensor) -> None:
    """Value, and the gradient by carrying each element's own number back."""
    np.testing.assert_array_equal(y.numpy(), expected)
    v = numbers(y.shape) + 1
    y.backward(mg.tensor(v))
    back = np.zeros(x.size)
    np.add.at(back, expected.astype(int).reshape(-1), v.reshape(-1))
    np.testing.assert_array_equal(x.grad.numpy(), back.reshape(x.shape))


# -- properties ----------------------------------------------------------------------------------


@given(SHAPES, st.data())
def test_rearrangements(shape, data):
    a, n = numbers(shape), len(shape)
    axes = data.draw(st.permutations(range(n)))
    signed = [axis - n * data.draw(st.booleans()) for axis in axes]
    check(mg.permute_dims(x := tensor(a), tuple(signed)), a.transpose(axes), x)
    some = tuple(signed[: data.draw(st.integers(0, n))])
    check(mg.flip(x := tensor(a), axis=some), np.flip(a, some), x)
    if some:
        shifts = tuple(data.draw(st.integers(-5, 5)) for _ in some)
        check(mg.roll(x := tensor(a), shifts, axis=some), np.roll(a, shifts, some), x)
    targets = tuple(data.draw(st.permutations(range(n)))[: len(some)])
    check(mg.moveaxis(x := tensor(a), some, targets), np.moveaxis(a, some, targets), x)


@given(SHAPES, st.data())
def test_repetitions(shape, data):
    a = numbers(shape)
    counts = data.draw(hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=3))
    check(mg.tile(x := tensor(a), counts), np.tile(a, counts), x)
    check(mg.repeat(x := tensor(a), 2), np.repeat(a, 2), x)
    if shape:
        axis = data.draw(st.integers(-len(shape), len(shape) - 1))
        check(mg.repeat(x := tensor(a), 3, axis=axis), np.repeat(a, 3, axis), x)
        each = data.draw(st.lists(st.integers(0, 3), min_size=shape[axis], max_size=shape[axis]))
        check(mg.repeat(x := tensor(a), each, axis=axis), np.repeat(a, each, axis), x)


@given(SHAPES, st.data())
def test_join_what_was_cut(shape, data):
    a = numbers(shape)
    if not shape:
        return
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    cuts = sorted(data.draw(st.lists(st.integers(0, shape[axis]), max_size=10)))
    parts = mg.split(x := tensor(a), cuts, axis=axis)
    for part, expected in zip(parts, np.split(a, cuts, axis), strict=True):
        np.testing.assert_array_equal(part.numpy(), expected)
    check(mg.concat(parts, axis=axis), a, x)
    parts = mg.unstack(x := tensor(a), axis=axis)
    assert len(parts) == shape[axis]
    if parts:
        check(mg.stack(parts, axis=axis), a, x)


@given(hnp.array_shapes(min_dims=2, max_dims=4, min_side=0, max_side=4), st.data())
def test_diagonals(shape, data):
    a, n = numbers(shape), len(shape)
    axis1, axis2 = data.draw(st.permutations(range(n)))[:2]
    offset = data.draw(st.integers(-5, 5))
    y = mg.diagonal(x := tensor(a), offset=offset, axis1=axis1, axis2=axis2)
    check(y, a.diagonal(offset, axis1, axis2), x)
    np.testing.assert_array_equal(
        mg.trace(tensor(a), offset=offset).numpy(),
        a.diagonal(offset, -2, -1).sum(-1),
    )


# -- one by one ----------------------------------------------------------------------------------


def test_reshape():
    a = numbers((2, 3, 4))
    x = tensor(a)
    assert x.reshape(6, -1).shape == x.reshape((6, -1)).shape == (6, 4)
    assert np.shares_memory(mg.reshape(x, (24,)).data, x.data)
    assert not np.shares_memory(mg.reshape(x, (24,), copy=True).data, x.data)
    assert np.shares_memory(mg.reshape(x, (24,), copy=False).data, x.data)
    with pytest.raises(ShapeError, match="copy=False"):
        mg.reshape(mg.permute_dims(x, (2, 1, 0)), (24,), copy=False)
    check(mg.reshape(mg.permute_dims(x, (2, 1, 0)), (24,)), a.transpose().reshape(-1), x)
    with pytest.raises(ShapeError, match=r"reshape\(float64\(2, 3, 4\).*cannot reshape"):
        x.reshape(5, 5)


def test_flatten():
    x = tensor(numbers((2, 3, 4)))
    assert x.flatten().shape == (24,)
    assert mg.flatten(x, 1).shape == (2, 12)
    assert mg.flatten(x, -3, -2).shape == (6, 4)
    assert mg.flatten(tensor(1.0)).shape == (1,)
    assert mg.flatten(tensor(numbers((2, 0, 3))), 0, 1).shape == (0, 3)
    with pytest.raises(ShapeError, match="comes after"):
        mg.flatten(x, 2, 1)


def test_broadcast_arrays():
    x, y = tensor(numbers((3, 1))), tensor(numbers((4,)))
    a, b = mg.broadcast_arrays(x, y)
    assert a.shape == b.shape == (3, 4)
    (a * 1.0 + b * 2.0).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.full((3, 1), 4.0))
    np.testing.assert_array_equal(y.grad.numpy(), np.full(4, 6.0))
    with pytest.raises(ShapeError, match=r"\(3,\), \(4,\) do not broadcast"):
        mg.broadcast_arrays(mg.ones(3), mg.ones(4))


def test_squeeze_and_expand():
    x = tensor(numbers((1, 3, 1)))
    assert x.squeeze().shape == (3,)
    assert x.squeeze(0).shape == (3, 1)
    assert mg.expand_dims(x, -1).shape == (1, 3, 1, 1)
    with pytest.raises(ShapeError, match="squeeze"):
        mg.squeeze(x, 1)
    with pytest.raises(ShapeError, match="squeeze"):
        mg.squeeze(x, 3)
    with pytest.raises(ShapeError, match="expand_dims"):
        mg.expand_dims(x, 5)


def test_transposes():
    x = tensor(numbers((2, 3)))
    assert x.T.shape == x.mT.shape == (3, 2)
    assert mg.permute_dims(tensor(1.0), ()).shape == ()
    with pytest.raises(ShapeError, match="permute_dims"):
        mg.permute_dims(x, (0, 0))
    with pytest.raises(ShapeError, match="permute_dims"):
        mg.permute_dims(x, (0,))
    with pytest.raises(ShapeError, match="at least 2 axes"):
        mg.matrix_transpose(mg.ones(3))
    with pytest.raises(ShapeError, match="moveaxis: axis 2"):
        mg.moveaxis(x, 2, 0)
    with pytest.raises(ShapeError, match="do not match"):
        mg.moveaxis(x, (0, 0), (0, 1))


def test_concat_and_stack():
    single, double = mg.ones((2, 3), dtype="float32"), mg.ones((1, 3), dtype="float64")
    assert mg.concat([single, double]).dtype == np.float64
    many = [tensor([float(i)]) for i in range(20)]
    joined = mg.concat(many)
    (joined * mg.tensor(np.arange(20.0))).sum().backward()
    assert [x.grad.item() for x in many] == list(range(20))
    x = tensor([1.0, 2.0])
    mg.stack([x, x, x], axis=1).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [3, 3])
    constant = mg.ones(2, dtype="float64")
    assert not mg.concat([constant, constant]).requires_grad
    mg.concat([constant, x]).sum().backward()
    assert isinstance(mg.stack([np.ones(2)]), np.ndarray)


@pytest.mark.parametrize(
    ("f", "match"),
    [
        (lambda: mg.concat([]), "at least one"),
        (lambda: mg.stack([]), "at least one"),
        (lambda: mg.concat([mg.ones((2, 3)), mg.ones((2, 4))]), r"concat\(.*\(2, 3\), .*\(2, 4\)"),
        (lambda: mg.concat([mg.ones((2, 3))] * 9 + [mg.ones((2, 4))]), "differ beside axis 0"),
        (lambda: mg.concat([mg.ones((2, 3)), mg.ones(3)]), "concat"),
        (lambda: mg.concat([mg.ones(2), mg.ones(2)], axis=1), "axis 1 does not exist"),
        (lambda: mg.concat([mg.tensor(1.0)]), "axis 0 does not exist"),
        (lambda: mg.concat([mg.ones(2), 3.0]), "Tensor, float"),
        (lambda: mg.stack([mg.ones(2), mg.ones(3)]), r"\(2,\) and \(3,\)"),
        (lambda: mg.unstack(mg.tensor(1.0)), "axis 0 does not exist"),
        (lambda: mg.split(mg.ones(5), 2), "does not divide into 2"),
        (lambda: mg.split(mg.ones(5), 0), "does not divide into 0"),
        (lambda: mg.split(mg.ones(5), [3, 2]), "must ascend"),
        (lambda: mg.split(mg.ones(5), [6]), "must ascend"),
        (lambda: mg.repeat(mg.ones(3), [1, 2]), r"\(2,\) repeats for an axis of length 3"),
        (lambda: mg.pad(mg.ones((2, 3)), ((1, 1),) * 3), "pad_width"),
        (lambda: mg.diag(mg.ones((2, 2, 2))), "vector or a matrix"),
        (lambda: mg.diagonal(mg.ones(2)), "at least 2 axes"),
    ],
)
def test_what_does_not_fit(f, match):
    with pytest.raises(ShapeError, match=match):
        f()


@pytest.mark.parametrize(
    ("f", "match"),
    [
        (lambda: mg.repeat(mg.ones(3), -1), "repeats=-1"),
        (lambda: mg.repeat(mg.ones(3), 0.5), "integers"),
        (lambda: mg.repeat(mg.ones(3), [1, 2, -1]), "0 or more"),
        (lambda: mg.pad(mg.ones(3), -1), "0 or more"),
        (lambda: mg.pad(mg.ones(3), 0.5), "integers"),
        (lambda: mg.pad(mg.ones(3), 1, mode="mean"), "'mean'"),
        (lambda: mg.chunk(mg.ones(3), 0), "chunks=0"),
    ],
)
def test_what_has_no_meaning(f, match):
    with pytest.raises(ConfigError, match=match):
        f()


def test_chunk():
    assert [c.shape[0] for c in mg.chunk(mg.ones(7), 3)] == [3, 3, 1]
    assert [c.shape[0] for c in mg.chunk(mg.ones(4), 3)] == [2, 2]  # fewer, as in PyTorch
    assert [c.shape for c in mg.chunk(mg.ones((2, 0)), 3, axis=1)] == [(2, 0)]
    assert [c.shape for c in mg.split(mg.ones((2, 0)), 3, axis=1)] == [(2, 0)] * 3


def test_pad():
    x = tensor(numbers((2, 3)))
    for width in (1, (1, 2), ((1, 2), (0, 3)), [(0, 0), (1, 1)]):
        np.testing.assert_array_equal(mg.pad(x, width).numpy(), np.pad(x.data, width))
    assert mg.pad(mg.ones((2,), dtype=bool), 1).tolist() == [False, True, True, False]


def test_diag():
    a = numbers((3, 4))
    for k in (-2, 0, 3):
        np.testing.assert_array_equal(mg.diag(tensor(a), k).numpy(), np.diag(a, k))
        np.testing.assert_array_equal(mg.diag(tensor(a[0]), k).numpy(), np.diag(a[0], k))


def test_iteration_is_one_line_on_the_tape():
    x = tensor(numbers((3, 2)))
    rows = list(x)
    assert len({id(row.node) for row in rows}) == 1
    (rows[0] * 2 + rows[2]).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[2, 2], [0, 0], [1, 1]])


@pytest.mark.parametrize(
    "view",
    [
        lambda x: mg.reshape(x, (6,)),
        lambda x: x.T,
        mg.flip,
        lambda x: x[1],
        mg.diagonal,
        lambda x: mg.expand_dims(x, 0),
        lambda x: mg.squeeze(mg.expand_dims(x, 0), 0),
    ],
)
def test_a_write_is_seen_through_views(view):
    """A view shares memory, so a line that keeps it must not survive a write into the leaf."""
    x, w = tensor(numbers((2, 3))), tensor(2.0)
    y = (view(x) * w).sum()
    x.assign_(np.ones((2, 3)))
    with pytest.raises(InPlaceError):
        y.backward()


def test_half_precision_and_integers():
    for dtype in ("float16", "int32", "bool"):
        x = mg.ones((2, 3), dtype=dtype)
        for y in (x.T, mg.concat([x, x]), mg.stack([x, x]), mg.tile(x, (2,)), mg.roll(x, 1)):
            assert y.dtype == x.dtype
