"""assign_ writes memory: what it may write, and what backward says about values that are gone."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors


def leaf(values, dtype="float64"):
    return mg.tensor(values, dtype=dtype, requires_grad=True)


def here(offset=0):
    """This file and the caller's line, as messages show them."""
    frame = inspect.currentframe().f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno + offset}"


def test_assign_writes_into_the_same_memory():
    x = leaf([1.0, 2.0])
    memory = x.data
    assert x.assign_([3.0, 4.0]) is x
    assert x.data is memory
    assert memory.tolist() == [3, 4]
    x.assign_(0)
    x.assign_(mg.tensor([5.0, 6.0]))
    assert memory.tolist() == [5, 6]
    assert x.is_leaf
    assert x.requires_grad


def test_assign_checks_what_it_is_given():
    x = leaf([1.0, 2.0])
    with pytest.raises(errors.ShapeError, match=r"\(2,\).*\(3,\)"):
        x.assign_(np.zeros(3))
    with pytest.raises(errors.ShapeError, match=r"\(2,\).*\(1,\)"):
        x.assign_(np.zeros(1))
    with pytest.raises(errors.GradError, match=r"multiply.*leaf"):
        (x * 2).assign_(0.0)
    assert x.tolist() == [1, 2]


def test_both_places_are_named():
    w, x = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    recorded = here(1)
    y = (w * x).sum()
    written = here(1)
    w.assign_([0.0, 0.0])
    with pytest.raises(errors.InPlaceError) as caught:
        y.backward()
    message = str(caught.value)
    assert recorded in message
    assert written in message
    assert "argument 0 of multiply" in message
    assert w.grad is None
    assert x.grad is None


def test_a_view_of_a_leaf_shares_its_fate():
    for view in (
        lambda t: t.T,
        lambda t: t[0:1],
        lambda t: t.reshape(4),
        lambda t: mg.broadcast_to(t, (3, 2, 2)),
        lambda t: mg.expand_dims(t, axis=0)[0].T,
        lambda t: next(iter(t)),
    ):
        w = leaf([[1.0, 2.0], [3.0, 4.0]])
        v = view(w)
        y = (v * v).sum()
        w.assign_(np.zeros((2, 2)))
        with pytest.raises(errors.InPlaceError, match="overwritten"):
            y.backward()


def test_a_detached_alias_of_a_leaf_shares_its_fate():
    for alias in (
        lambda t: t.detach(),
        lambda t: t.detach().T,
        mg.Tensor,
        mg.nn.Parameter,
    ):
        w = leaf([[1.0, 2.0], [3.0, 4.0]])
        y = mg.exp(w * w).sum()
        alias(w).assign_(0.0)
        assert w.tolist() == [[0, 0], [0, 0]]
        with pytest.raises(errors.InPlaceError, match="overwritten"):
            y.backward()


def test_an_alias_made_under_no_grad_shares_its_fate():
    w = leaf([[1.0, 2.0], [3.0, 4.0]])
    y = (w * w).sum()
    with mg.no_grad():
        w.T[0].assign_([0.0, 0.0])
    assert w.tolist() == [[0, 2], [0, 4]]
    with pytest.raises(errors.InPlaceError):
        y.backward()


def test_a_constant_is_watched_too():
    c, w = mg.tensor([1.0, 2.0]), leaf([3.0, 4.0])
    y = (c * w).sum()
    view_of_constant = (c.reshape((2, 1)) * w).sum()
    c.assign_([0.0, 0.0])
    for out in (y, view_of_constant):
        with pytest.raises(errors.InPlaceError, match="argument 0 of multiply"):
            out.backward()


def test_values_that_no_rule_needs_may_be_overwritten():
    w, c = leaf([1.0, 2.0]), mg.tensor([3.0, 4.0], dtype="float64")
    y = (w + c).sum() + (w * c).sum() + w.reshape((2, 1)).sum()
    w.assign_([9.0, 9.0])  # w itself is needed by nobody: c requires no gradient
    y.backward()
    assert w.grad.tolist() == [1 + 3 + 1, 1 + 4 + 1]


def test_a_write_before_the_call_does_not_matter():
    w = leaf([1.0, 2.0])
    w.assign_([3.0, 4.0])
    (w * w).sum().backward()
    assert w.grad.tolist() == [6, 8]


def test_a_write_after_backward_does_not_matter():
    w = leaf([1.0, 2.0])
    for _ in range(3):
        w.grad = None
        loss = (w * w).sum()
        loss.backward()
        w.assign_(w.data - 0.1 * w.grad.data)
    np.testing.assert_allclose(w.numpy(), np.array([1.0, 2.0]) * 0.8**3)


def test_a_retained_graph_notices_a_step_between_two_passes():
    w = leaf([1.0, 2.0])
    y = (w * w).sum()
    y.backward(retain_graph=True)
    w.assign_(0.0)
    with pytest.raises(errors.InPlaceError):
        y.backward()
    assert w.grad.tolist() == [2, 4]


# -- memory of the tape is never written -----------------------------------------------------------


def test_a_detached_result_moves_away_when_it_is_written():
    x = leaf([1.0, 2.0])
    y = mg.exp(x)  # its rule reads y
    detached = y.detach()
    assert np.shares_memory(detached.data, y.data)
    detached.assign_([0.0, 0.0])
    assert detached.tolist() == [0, 0]
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.exp([1.0, 2.0]))
    detached.assign_([5.0, 5.0])  # its own memory now: the second write goes there
    z = (detached.requires_grad_() * 2).sum()
    z.backward()
    assert detached.grad.tolist() == [2, 2]


def test_views_of_results_taken_without_recording_move_away_too():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    y = mg.exp(x)
    with mg.no_grad():
        row, flat = y[0], y.reshape(4)
    row.assign_([0.0, 0.0])
    flat.assign_(0.0)
    mg.nn.Parameter(y).assign_(0.0)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.exp([[1.0, 2.0], [3.0, 4.0]]))


def test_an_optimiser_does_not_write_into_the_tape():
    x = leaf([1.0, 2.0])
    y = mg.exp(x)
    p = y.detach().requires_grad_()
    (p * p).sum().backward()
    mg.optim.SGD([p], lr=1.0).step()
    np.testing.assert_allclose(p.numpy(), -np.exp([1.0, 2.0]))
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.exp([1.0, 2.0]))


def test_gradients_are_read_only_views_no_more_once_written():
    x = leaf([1.0, 2.0])
    x.sum().backward()  # a broadcast view of one number
    x.grad.assign_([3.0, 4.0])
    assert x.grad.tolist() == [3, 4]


def test_writing_is_visible_to_aliases_of_a_leaf():
    w = leaf([1.0, 2.0])
    alias = w.detach()
    alias.assign_([3.0, 4.0])
    assert w.tolist() == [3, 4]
    w.assign_([5.0, 6.0])
    assert alias.tolist() == [5, 6]


def test_a_write_between_forward_and_checkpointed_backward():
    for written in ("argument", "parameter from outside", "constant argument"):
        w, x, c = leaf([1.0, 2.0]), leaf([3.0, 4.0]), mg.tensor([5.0, 6.0])
        y = mg.checkpoint(lambda t, k, w=w: t * w * k, x, c).sum()
        {"argument": x, "parameter from outside": w, "constant argument": c}[written].assign_(1.0)
        with pytest.raises(errors.InPlaceError, match="checkpoint"):
            y.backward()
