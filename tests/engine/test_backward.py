"""backward(): sums over paths, accumulation, freeing, aliasing, dtypes, failures."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors
from minigrad.engine import OPS


def leaf(values, dtype="float64"):
    return mg.tensor(values, dtype=dtype, requires_grad=True)


# -- sums over paths -------------------------------------------------------------------------------


def test_a_diamond_sums_its_paths():
    x = leaf([2.0, 3.0])
    y = x * x
    z = (y + mg.exp(y * 0)) * y - y / x
    z.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 4 * np.array([2.0, 3.0]) ** 3 + 2 * x.numpy() - 1)


@pytest.mark.parametrize("f", [mg.add, mg.subtract, mg.multiply, mg.divide, mg.pow, mg.maximum])
@pytest.mark.parametrize("create_graph", [False, True])
def test_the_same_argument_twice(f, create_graph):
    x, a, b = leaf([2.0, 3.0]), leaf([2.0, 3.0]), leaf([2.0, 3.0])
    f(x, x).sum().backward(create_graph=create_graph)
    f(a, b).sum().backward(create_graph=create_graph)
    np.testing.assert_allclose(x.grad.numpy(), (a.grad + b.grad).numpy())
    x.grad = a.grad = b.grad = None  # a recorded gradient refers to its leaf, which holds it


def test_many_uses_of_one_value_are_added_without_writing_into_any_of_them():
    """The third and later cotangents are added in place: into a sum, never into one that came."""
    x = leaf(np.arange(3.0))
    y = x * 1
    parts = [y * float(k) for k in range(1, 6)]
    kept = []
    for part in parts:
        part.register_hook(kept.append)
    mg.stack(parts).sum().backward()
    assert x.grad.tolist() == [15, 15, 15]
    assert [g.tolist() for g in kept] == [[1, 1, 1]] * 5


@pytest.mark.parametrize("interior", [False, True])
@pytest.mark.parametrize("create_graph", [False, True])
def test_parts_of_one_value_are_added_to_one_sum(interior, create_graph):
    """x[t] in a loop, with repeated, overlapping and other uses, a hook, and a masked branch."""
    x = leaf(np.arange(12.0).reshape(4, 3))
    hooked = []
    y = x * 1 if interior else x
    parts = [y[0], y[2], y[0], y[1:3], y[-1], y[::2], y[..., 1], y[1]]
    parts[4].register_hook(lambda g: hooked.append(g.shape) or 2 * g)
    total = sum(((k + 1) * part).sum() for k, part in enumerate(parts)) + (y * y).sum()
    total = total + mg.where(y[3] > 0, y[3], 0).sum()
    other = leaf(np.zeros((4, 3)))
    total = total + ((y + other) * 3).sum()  # the first to arrive is the other's gradient, too
    total.backward(create_graph=create_graph)
    wanted = 2 * x.numpy() + 3
    for k, key in enumerate([0, 2, 0, slice(1, 3), -1, slice(None, None, 2), (..., 1), 1]):
        wanted[key] += (k + 1) * (2 if k == 4 else 1)
    wanted[3] += 1
    np.testing.assert_allclose(x.grad.numpy(), wanted)
    np.testing.assert_array_equal(other.grad.numpy(), np.full((4, 3), 3.0))
    assert hooked == [(3,)]
    x.grad = other.grad = None  # a recorded gradient refers to its leaf, which holds it


def test_a_loop_over_parts_writes_each_part_once(monkeypatch):
    place, wholes = OPS["place"], []
    forward = place.forward
    monkeypatch.setattr(place, "forward", lambda *a, **k: wholes.append(a) or forward(*a, **k))
    x = mg.ones((50, 3), requires_grad=True)
    y = x * 1
    sum(y[t] for t in range(50)).sum().backward()
    assert len(wholes) == 2  # the first to arrive, and the second: their sum is the one to add to
    np.testing.assert_array_equal(x.grad.numpy(), np.ones((50, 3)))


def test_zero_dimensional_sums_stay_arrays():
    x = leaf(2.0)
    y = x * x + x * x + x
    y.backward()
    assert type(x.grad.data) is np.ndarray
    assert (x.grad * x).item() == 18
    (x * x).backward()
    assert type(x.grad.data) is np.ndarray
    assert (x.grad * x).item() == 26


def test_unused_outputs_of_an_op_count_as_zero():
    x = leaf([[3.0, 1.0], [2.0, 5.0]])
    first, _ = mg.unstack(x)
    (first * 2).sum().backward()
    assert x.grad.tolist() == [[2, 2], [0, 0]]
    (g,) = mg.grad([mg.unstack(x)[1].sum()], [x], create_graph=True)
    assert g.tolist() == [[0, 0], [1, 1]]


def test_backward_from_a_leaf():
    x = leaf(3.0)
    x.backward()
    assert x.grad.item() == 1
    y = leaf([1.0, 2.0])
    y.backward([5.0, 6.0])
    assert y.grad.tolist() == [5, 6]


# -- accumulation ----------------------------------------------------------------------------------


def test_gradients_accumulate_over_calls():
    x = leaf([1.0, 2.0])
    for _ in range(3):
        (x * x).sum().backward()
    assert x.grad.tolist() == [6, 12]
    x.zero_grad()
    assert x.grad is None


def test_accumulation_makes_a_new_gradient():
    x = leaf([1.0, 2.0])
    (x * x).sum().backward()
    first = x.grad
    (x * x).sum().backward()
    assert first.tolist() == [2, 4]
    assert x.grad is not first


def test_only_leaves_keep_a_gradient():
    x = leaf([1.0])
    y = x * 2
    (y * y).sum().backward()
    assert y.grad is None
    assert x.grad.tolist() == [8]


def test_writing_into_one_gradient_changes_no_other():
    a, b = leaf([1.0, 2.0]), leaf([1.0, 2.0])
    (a + b).backward([1.0, 1.0])
    a.grad.assign_(7.0)
    assert b.grad.tolist() == [1, 1]
    x, y = leaf([1.0, 2.0]), leaf([1.0, 2.0])
    gx, gy = mg.grad((x + y).sum(), [x, y])  # views of one number
    gx.assign_([7.0, 8.0])
    assert gy.tolist() == [1, 1]


def test_the_callers_cotangent_is_copied():
    x = leaf([1.0, 2.0])
    mine = np.array([1.0, 2.0])
    x.reshape((2, 1)).reshape(2).backward(mine)
    mine[:] = 9
    assert x.grad.tolist() == [1, 2]
    given = mg.tensor([1.0, 2.0], dtype="float64")
    y = leaf([1.0, 2.0])
    y.backward(given)
    given.assign_(9.0)
    assert y.grad.tolist() == [1, 2]


def test_a_hook_that_writes_into_its_gradient_changes_no_other():
    a, b = leaf([1.0, 2.0]), leaf([1.0, 2.0])
    a.register_hook(lambda g: g.assign_(5.0))
    (a + b).backward([1.0, 1.0])
    assert a.grad.tolist() == [5, 5]
    assert b.grad.tolist() == [1, 1]


# -- freeing ---------------------------------------------------------------------------------------


def test_a_second_backward_needs_retain_graph():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4, 8]
    with pytest.raises(errors.GraphFreedError, match=r"sum|multiply.*retain_graph"):
        y.backward()
    assert x.grad.tolist() == [4, 8]


def test_a_shared_part_is_freed_by_the_first_of_two_losses():
    x = leaf([1.0, 2.0])
    shared = mg.exp(x)
    first, second = (shared * 2).sum(), (shared * 3).sum()
    first.backward()
    before = x.grad.tolist()
    with pytest.raises(errors.GraphFreedError, match="exp"):
        second.backward()
    assert x.grad.tolist() == before


def test_create_graph_retains():
    x = leaf([1.0, 2.0])
    y = (x**3).sum()
    y.backward(create_graph=True)
    g = x.grad
    x.grad = None
    y.backward()
    np.testing.assert_allclose(x.grad.numpy(), [3, 12])
    x.grad = None
    g.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [6, 12])


def test_freed_lines_can_still_be_read_for_pictures():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward()
    node = y.node
    assert node.op.name == "sum"
    assert node.inputs is None
    assert node.parents[0].op.name == "multiply"
    assert all(parent is x for parent in node.parents[0].parents)
    assert repr(node) == f"<line {node.id}: sum -> ()>"


# -- dtypes ----------------------------------------------------------------------------------------


def test_gradients_come_in_the_dtype_of_their_argument():
    a, b = leaf([1.0, 2.0], "float32"), leaf([3.0, 4.0], "float64")
    y = a * b
    assert y.dtype == "float64"
    y.sum().backward()
    assert a.grad.dtype == "float32"
    assert b.grad.dtype == "float64"
    assert a.grad.tolist() == [3, 4]
    x, w = leaf(np.ones((2, 3)), "float32"), leaf(np.ones((3, 4)), "float64")
    (x @ w).sum().backward()
    assert (x.grad.dtype, w.grad.dtype) == ("float32", "float64")
    c = leaf([1.0], "float16")
    (g,) = mg.grad((c * b * 2).sum(), [c], create_graph=True)
    assert g.dtype == "float16"


def test_gradients_broadcast_back():
    a, b = leaf(np.ones((2, 1, 3))), leaf(np.ones((4, 1)))
    c = leaf(2.0)
    (a * b + c).sum().backward()
    assert (a.grad.shape, b.grad.shape, c.grad.shape) == ((2, 1, 3), (4, 1), ())
    assert a.grad.tolist() == np.full((2, 1, 3), 4.0).tolist()
    assert b.grad.tolist() == np.full((4, 1), 6.0).tolist()
    assert c.grad.item() == 24


def test_empty_tensors_have_empty_gradients():
    x = leaf(np.ones((0, 3)))
    (mg.exp(x) * 2).sum().backward()
    assert x.grad.shape == (0, 3)


# -- cotangents ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        [1.0, 2.0],
        (1, 2),
        np.array([1.0, 2.0]),
        np.array([1.0, 2.0], np.float32),
        mg.tensor([1.0, 2.0]),
    ],
    ids=str,
)
@pytest.mark.parametrize("create_graph", [False, True])
def test_cotangents_of_any_kind(given, create_graph):
    x = leaf([3.0, 4.0])
    if create_graph:
        g = mg.grad(x * x, x, [given], create_graph=True)
    else:
        (x * x).backward(given)
        g = x.grad
    assert g.dtype == "float64"
    assert g.tolist() == [6, 16]


def test_a_number_is_a_cotangent_of_a_number():
    for given in (2.0, 2, np.float32(2), np.float64(2), mg.tensor(2.0)):
        x = leaf(3.0)
        (x * x).backward(given)
        assert x.grad.item() == 12


def test_wrong_cotangents():
    x = leaf([1.0, 2.0])
    y = x * x
    with pytest.raises(errors.GradError, match=r"\(2,\).*sum"):
        y.backward()
    with pytest.raises(errors.ShapeError, match=r"\(2,\).*\(3,\)"):
        y.backward(np.ones(3))
    with pytest.raises(errors.DTypeError, match="int64"):
        y.backward(np.array([1, 2]))
    with pytest.raises(errors.ShapeError, match=r"2 outputs.*1"):
        mg.grad([y, y], x, [np.ones(2)])
    assert x.grad is None
    y.backward(np.ones(2))  # and nothing was freed on the way


# -- what fails ------------------------------------------------------------------------------------


def test_nothing_recorded():
    with pytest.raises(errors.GradError, match="requires_grad"):
        mg.tensor(1.0).backward()
    with mg.no_grad():
        y = leaf(1.0) * 2
    with pytest.raises(errors.GradError, match="no_grad"):
        y.backward()


def test_a_rule_that_fails_leaves_every_grad_untouched():
    @mg.op
    def bomb(xp, x):
        return x * 1

    def explode(g, _y, _x):
        raise RuntimeError("boom")

    bomb.defvjp(explode)
    x, w = leaf([1.0]), leaf([2.0])
    w.grad = mg.tensor([5.0])
    loss = (w * bomb(x * 3)).sum() + (x * w).sum()
    with pytest.raises(RuntimeError, match="boom"):
        loss.backward()
    assert x.grad is None
    assert w.grad.tolist() == [5]


def test_a_hook_that_fails_leaves_every_grad_untouched():
    x, w = leaf([1.0]), leaf([2.0])

    def explode(g):
        raise RuntimeError("boom")

    w.register_hook(explode)
    with pytest.raises(RuntimeError, match="boom"):
        (x * w).sum().backward()
    assert x.grad is None
    assert w.grad is None
