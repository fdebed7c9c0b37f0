"""Gradient clipping against PyTorch's."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors
from minigrad.optim import clip_grad_norm_, clip_grad_value_


def params(dtype="float64"):
    rng = np.random.default_rng(0)
    made = [
        mg.tensor(np.zeros(s), dtype=dtype, requires_grad=True) for s in ((3, 4), (5,), (), (2,))
    ]
    for p in made[:-1]:  # the last has no gradient
        p.grad = mg.tensor(rng.standard_normal(p.shape), dtype=dtype)
    return made


def grads(ps):
    return [None if p.grad is None else p.grad.numpy() for p in ps]


def in_torch(torch, ps):
    made = [torch.tensor(p.numpy(), requires_grad=True) for p in ps]
    for t, p in zip(made, ps, strict=True):
        t.grad = None if p.grad is None else torch.tensor(p.grad.numpy())
    return made


@pytest.mark.parametrize("limit", [0.0, 0.5, 2.0, 1e6, math.inf])
def test_norm_is_pytorchs(limit):
    torch = pytest.importorskip("torch")
    ps = params()
    reference = in_torch(torch, ps)
    norm = clip_grad_norm_(ps, limit)
    expected = torch.nn.utils.clip_grad_norm_(reference, limit)
    assert type(norm) is float
    assert norm == pytest.approx(expected.item(), rel=1e-12)
    for g, t in zip(grads(ps), reference, strict=True):
        if g is None:
            assert t.grad is None
        else:
            np.testing.assert_allclose(g, t.grad.numpy(), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_gradients_that_are_not_finite_as_in_pytorch(bad):
    torch = pytest.importorskip("torch")
    ps = params()
    ps[0].grad = mg.tensor(np.where(np.arange(12).reshape(3, 4) == 5, bad, ps[0].grad.numpy()))
    reference = in_torch(torch, ps)
    with np.errstate(invalid="ignore"):
        norm = clip_grad_norm_(ps, 1.0)
    expected = torch.nn.utils.clip_grad_norm_(reference, 1.0).item()
    np.testing.assert_equal(norm, expected)
    for g, t in zip(grads(ps)[:-1], reference, strict=False):
        np.testing.assert_array_equal(np.isnan(g), np.isnan(t.grad.numpy()))


@pytest.mark.parametrize("limit", [0.0, 0.3, 10.0])
def test_value_is_pytorchs(limit):
    torch = pytest.importorskip("torch")
    ps = params()
    reference = in_torch(torch, ps)
    clip_grad_value_(ps, limit)
    torch.nn.utils.clip_grad_value_(reference, limit)
    for g, t in zip(grads(ps)[:-1], reference, strict=False):
        np.testing.assert_array_equal(g, t.grad.numpy())


def test_the_joint_norm_is_what_was_asked():
    ps = params()
    before = clip_grad_norm_(ps, math.inf)
    expected = math.sqrt(sum(float((g**2).sum()) for g in grads(ps)[:-1]))
    assert before == pytest.approx(expected)
    clip_grad_norm_(ps, 0.25)
    assert clip_grad_norm_(ps, math.inf) == pytest.approx(0.25, rel=1e-5)


@pytest.mark.parametrize("clip", [clip_grad_norm_, clip_grad_value_])
@pytest.mark.parametrize("limit", [0.1, np.float64(0.1), 1])
def test_float32_stays_and_no_gradient_is_written_into(clip, limit):
    ps = params("float32")
    shared = ps[0].grad
    before = shared.numpy().copy()
    clip(ps, limit)
    np.testing.assert_array_equal(shared.numpy(), before)
    assert {p.grad.dtype.name for p in ps[:-1]} == {"float32"}
    assert {type(p.grad.data) for p in ps[:-1]} == {np.ndarray}
    assert (ps[2].grad * ps[2]).shape == ()


def test_one_tensor_and_none():
    w = mg.tensor([3.0, 4.0], requires_grad=True)
    (w * w).sum().backward()
    assert clip_grad_norm_(w, 1.0) == pytest.approx(10.0)
    assert float((w.grad * w.grad).sum()) == pytest.approx(1.0, rel=1e-4)
    assert clip_grad_norm_([mg.tensor([1.0], requires_grad=True)], 1.0) == 0.0
    assert clip_grad_norm_(iter([w]), 1e9) == pytest.approx(1.0, rel=1e-4)


def test_rows_clip_as_the_dense_gradient_would():
    dense, sparse = params()[:2], params()[:2]
    for ps in (dense, sparse):
        rows = mg.RowSparse(np.array([2, 0, 2]), np.arange(12.0).reshape(3, 4) / 10, (3, 4))
        ps[0].grad = rows if ps is sparse else mg.Tensor(rows.to_dense())
    assert clip_grad_norm_(sparse, 0.7) == pytest.approx(clip_grad_norm_(dense, 0.7), rel=1e-14)
    np.testing.assert_allclose(sparse[0].grad.to_dense(), dense[0].grad.numpy())
    for ps in (dense, sparse):
        clip_grad_value_(ps, 0.1)
    np.testing.assert_allclose(sparse[0].grad.to_dense(), dense[0].grad.numpy())


@pytest.mark.parametrize("clip", [clip_grad_norm_, clip_grad_value_])
@pytest.mark.parametrize("limit", [-1.0, math.nan])
def test_limits_without_a_meaning(clip, limit):
    ps = params()
    before = grads(ps)
    with pytest.raises(errors.ConfigError, match="≥ 0"):
        clip(ps, limit)
    assert all(a is b for a, b in zip(grads(ps), before, strict=True))
