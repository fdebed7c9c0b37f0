"""vjp, jvp, jacobian, hessian, hvp, value_and_grad: analytic, numeric and PyTorch's answers."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors


def array(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0.3, 1.5, shape)


def numeric_jacobian(f, x, eps=1e-6):
    """Central differences: (*f(x).shape, *x.shape)."""
    columns = []
    for i in range(x.size):
        e = np.zeros(x.size)
        e[i] = eps
        e = e.reshape(x.shape)
        columns.append((f(mg.tensor(x + e)).numpy() - f(mg.tensor(x - e)).numpy()) / (2 * eps))
    return np.stack(columns, axis=-1).reshape((*columns[0].shape, *x.shape))


M = array(4, 3, seed=9)


def affine(x):  # linear: no second derivative
    return x @ mg.asarray(M.T) + 1


def network(x):
    return mg.tanh(x @ mg.asarray(M.T)) * mg.exp(x).sum()


def mixed(x):
    y = x * x.T if x.ndim == 2 and x.shape[0] == x.shape[1] else x * x
    return mg.concat([y.reshape(-1), mg.sin(x).reshape(-1)[:2] / y.sum()])


def constant(x):
    return mg.ones(2, dtype="float64")


FUNCTIONS = [affine, network, mixed, constant]
SHAPES = [(3,), (3, 3)]


def in_torch(f, torch):
    table = {
        affine: lambda x: x @ torch.tensor(M.T) + 1,
        network: lambda x: torch.tanh(x @ torch.tensor(M.T)) * torch.exp(x).sum(),
        mixed: lambda x: _mixed_torch(x, torch),
        constant: lambda x: torch.ones(2, dtype=torch.float64),
    }
    return table[f]


def _mixed_torch(x, torch):
    y = x * x.T if x.ndim == 2 and x.shape[0] == x.shape[1] else x * x
    return torch.cat([y.reshape(-1), torch.sin(x).reshape(-1)[:2] / y.sum()])


cases = pytest.mark.parametrize(
    ("f", "shape"),
    [(f, s) for f in FUNCTIONS for s in SHAPES],
    ids=lambda v: getattr(v, "__name__", str(v)),
)


@cases
def test_jacobian(f, shape):
    x = array(*shape)
    j = mg.jacobian(f, mg.tensor(x)).numpy()
    np.testing.assert_allclose(j, numeric_jacobian(f, x), rtol=1e-6, atol=1e-8)
    torch = pytest.importorskip("torch")
    expected = torch.autograd.functional.jacobian(in_torch(f, torch), torch.tensor(x))
    np.testing.assert_allclose(j, expected.numpy(), rtol=1e-12, atol=1e-13)


@cases
def test_vjp_and_jvp_are_products_with_the_jacobian(f, shape):
    x, v = array(*shape), array(*shape, seed=1)
    y = f(mg.tensor(x))
    u = array(*y.shape, seed=2)
    j = mg.jacobian(f, mg.tensor(x)).numpy()
    out, back = mg.vjp(f, mg.tensor(x))
    np.testing.assert_array_equal(out.numpy(), y.numpy())
    pulled = np.tensordot(u, j, axes=u.ndim)
    for _ in range(2):  # as often as one likes
        (g,) = back(mg.tensor(u))
        np.testing.assert_allclose(g.numpy(), pulled, rtol=1e-12, atol=1e-13)
    out, pushed = mg.jvp(f, mg.tensor(x), mg.tensor(v))
    np.testing.assert_array_equal(out.numpy(), y.numpy())
    np.testing.assert_allclose(
        pushed.numpy(), np.tensordot(j, v, axes=v.ndim), rtol=1e-12, atol=1e-13
    )
    assert not out.requires_grad
    assert not pushed.requires_grad
    torch = pytest.importorskip("torch")
    f_t, x_t = in_torch(f, torch), torch.tensor(x)
    if f is not constant:
        _, expected = torch.autograd.functional.vjp(f_t, x_t, torch.tensor(u))
        np.testing.assert_allclose(g.numpy(), expected.numpy(), rtol=1e-12, atol=1e-13)
        _, expected = torch.autograd.functional.jvp(f_t, x_t, torch.tensor(v))
        np.testing.assert_allclose(pushed.numpy(), expected.numpy(), rtol=1e-12, atol=1e-13)


@cases
def test_hessian_and_hvp(f, shape):
    def scalar(x):
        return (f(x) ** 2).sum() if f is not affine else f(x).sum()

    x, v = array(*shape), array(*shape, seed=1)
    h = mg.hessian(scalar, mg.tensor(x)).numpy()
    assert h.shape == shape + shape
    n = x.size
    np.testing.assert_allclose(h.reshape(n, n), h.reshape(n, n).T, rtol=1e-9, atol=1e-11)
    gradient = numeric_jacobian(lambda t: mg.value_and_grad(scalar)(t)[1], x)
    np.testing.assert_allclose(h, gradient, rtol=1e-5, atol=1e-6)
    product = mg.hvp(scalar, mg.tensor(x), mg.tensor(v))
    np.testing.assert_allclose(
        product.numpy(), np.tensordot(h, v, axes=v.ndim), rtol=1e-10, atol=1e-11
    )
    assert not product.requires_grad
    torch = pytest.importorskip("torch")
    f_t = in_torch(f, torch)
    if f is not constant:
        expected = torch.autograd.functional.hessian(
            (lambda t: (f_t(t) ** 2).sum()) if f is not affine else (lambda t: f_t(t).sum()),
            torch.tensor(x),
        )
        np.testing.assert_allclose(h, expected.numpy(), rtol=1e-9, atol=1e-10)


def test_analytic_answers():
    x = mg.tensor([1.0, 2.0], dtype="float64")
    assert mg.jacobian(mg.square, x).tolist() == [[2, 0], [0, 4]]
    assert mg.hessian(lambda t: t[0] ** 2 * t[1], x).tolist() == [[4, 2], [2, 0]]
    assert mg.hvp(lambda t: (t**3).sum(), x, [1.0, 10.0]).tolist() == [6, 120]
    value, g = mg.value_and_grad(lambda t: (t**2).sum())(x)
    assert (value.item(), g.tolist()) == (5, [2, 4])
    assert mg.jacobian(lambda t: t.sum(), x).tolist() == [1, 1]
    assert mg.jacobian(lambda t: t * 2, mg.tensor(3.0)).shape == ()


def test_several_arguments_and_results():
    a, b = mg.tensor(array(2)), mg.tensor(array(2, seed=1))

    def f(x, y):
        return x * y, mg.sin(x).sum(), mg.argmax(y)

    (p, s, i), back = mg.vjp(f, a, b)
    gx, gy = back(mg.ones(2, dtype="float64"), 2.0, mg.tensor(0))
    np.testing.assert_allclose(gx.numpy(), b.numpy() + 2 * np.cos(a.numpy()))
    np.testing.assert_array_equal(gy.numpy(), a.numpy())
    (p2, s2, i2), (dp, ds, di) = mg.jvp(f, (a, b), ([1.0, 0.0], [0.0, 1.0]))
    assert (p2.tolist(), s2.item(), i2.item()) == (p.tolist(), s.item(), i.item())
    np.testing.assert_allclose(dp.numpy(), [b.numpy()[0], a.numpy()[1]])
    np.testing.assert_allclose(ds.item(), np.cos(a.numpy()[0]))
    assert di.item() == 0


def test_the_same_result_twice():
    (y, z), (dy, dz) = mg.jvp(lambda x: (w := x * x, w), mg.tensor(3.0), mg.tensor(1.0))
    assert [t.item() for t in (y, z, dy, dz)] == [9, 9, 6, 6]


def test_lists_and_arrays_are_arguments_like_any_other():
    assert mg.jacobian(lambda x: x * x, [1.0, 2.0]).dtype == "float32"
    assert mg.jacobian(lambda x: x * x, np.array([1.0, 2.0])).dtype == "float64"
    assert mg.value_and_grad(lambda x: x * x)(3.0)[1].item() == 6
    assert mg.hvp(lambda x: (x**3).sum(), [1.0], [1.0]).tolist() == [6]
    assert mg.jvp(lambda x: x * x, 3.0, 1.0)[1].dtype == "float32"


def test_jacobians_of_no_elements():
    assert mg.jacobian(lambda x: x[:0], mg.ones(3)).shape == (0, 3)
    assert mg.jacobian(lambda x: x.sum(), mg.ones(0)).shape == (0,)


def test_value_and_grad_of_chosen_arguments():
    def f(x, scale, y):
        assert isinstance(scale, str)
        return (x * y).sum()

    x, y = mg.tensor([1.0, 2.0]), mg.tensor([3.0, 4.0])
    value, (gy, gx) = mg.value_and_grad(f, argnums=(2, 0))(x, "ignored", y)
    assert (value.item(), gy.tolist(), gx.tolist()) == (11, [1, 2], [3, 4])
    _, g = mg.value_and_grad(f, argnums=2)(x, "ignored", y)
    assert g.tolist() == [1, 2]
    _, g = mg.value_and_grad(lambda a, b: (a * 2).sum(), argnums=1)(x, y)
    assert g.tolist() == [0, 0]


def test_value_and_grad_leaves_no_trace():
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    x = mg.tensor([3.0, 4.0])
    value, g = mg.value_and_grad(lambda t: (t * w).sum())(x)
    assert g.tolist() == [1, 2]
    assert not value.requires_grad
    assert not g.requires_grad
    assert w.grad is None
    assert x.grad is None
    assert not x.requires_grad


def test_transforms_nest():
    def cube(x):
        return x**3

    def derivative(f):
        return lambda x: mg.value_and_grad(f)(x)[1]

    x = mg.tensor(2.0, dtype="float64")
    f = cube
    for expected in (12, 12, 6, 0):
        f = derivative(f)
        assert f(x).item() == expected
    # d/dy of the gradient by x, where y is an argument of the outer function only
    g = mg.value_and_grad(lambda y: mg.value_and_grad(lambda x: x**2 * y, create_graph=True)(x)[1])(
        x
    )
    assert (g[0].item(), g[1].item()) == (8, 4)
    # forward over reverse, and reverse over forward
    forward = mg.jvp(derivative(cube), x, mg.tensor(1.0, dtype="float64"))[1]
    reverse = derivative(lambda t: mg.jvp(cube, t, 1.0)[1])(x)
    assert forward.item() == reverse.item() == 12
    assert mg.jacobian(lambda t: mg.jacobian(cube, t), x).item() == 12
    inner = mg.hvp(lambda t: t**4, x, 1.0).item()
    outer = derivative(lambda t: mg.hvp(lambda s: s**4, t, 1.0))(x).item()
    assert (inner, outer) == (48, 48)


def test_pullbacks_and_pushforwards_are_differentiable_where_the_point_is():
    x = mg.tensor([1.0, 2.0], dtype="float64", requires_grad=True)
    _, back = mg.vjp(lambda t: t**3, x)
    back([1.0, 1.0])[0].sum().backward()
    assert x.grad.tolist() == [6, 12]
    t = mg.tensor([1.0, 1.0], dtype="float64", requires_grad=True)
    dy = mg.jvp(lambda s: s**3, mg.tensor([1.0, 2.0], dtype="float64"), t)[1]
    assert mg.grad(dy.sum(), t).tolist() == [3, 12]


def test_transforms_work_inside_no_grad():
    with mg.no_grad():
        _, g = mg.value_and_grad(lambda x: (x * x).sum())(mg.tensor([1.0, 2.0]))
        assert g.tolist() == [2, 4]
        assert mg.jvp(lambda x: x * x, mg.tensor(3.0), mg.tensor(1.0))[1].item() == 6
        assert mg.hessian(lambda x: (x**2).sum(), mg.tensor([1.0])).tolist() == [[2]]
        assert not mg.is_grad_enabled()


@pytest.mark.parametrize(
    "transform", ["vjp", "jvp", "jacobian", "hessian", "hvp", "value_and_grad"]
)
@pytest.mark.parametrize("result", [None, 1.0, [1.0], np.ones(2)], ids=str)
def test_what_a_function_must_return(transform, result):
    x = mg.tensor([1.0, 2.0])
    calls = {
        "vjp": lambda f: mg.vjp(f, x),
        "jvp": lambda f: mg.jvp(f, x, x),
        "jacobian": lambda f: mg.jacobian(f, x),
        "hessian": lambda f: mg.hessian(f, x),
        "hvp": lambda f: mg.hvp(f, x, x),
        "value_and_grad": lambda f: mg.value_and_grad(f)(x),
    }
    with pytest.raises(errors.GradError, match=r"returned .* expected a Tensor"):
        calls[transform](lambda t: result)


def test_wrong_arguments():
    x = mg.tensor([1.0, 2.0])
    with pytest.raises(errors.ShapeError, match=r"2 primals.*1 tangents"):
        mg.jvp(mg.add, (x, x), (x,))
    with pytest.raises(errors.ShapeError, match=r"\(2,\).*\(3,\)"):
        mg.jvp(mg.sin, x, mg.ones(3))
    with pytest.raises(errors.GradError, match=r"shape \(2,\)"):
        mg.value_and_grad(mg.sin)(x)
    with pytest.raises(errors.GradError, match="tuple"):
        mg.jacobian(lambda t: (t, t), x)
    with pytest.raises(errors.DTypeError, match="int64"):
        mg.jacobian(mg.sin, mg.tensor([1, 2]))
    _, back = mg.vjp(mg.sin, x)
    with pytest.raises(errors.ShapeError, match=r"\(2,\).*\(3,\)"):
        back(mg.ones(3))
    with pytest.raises(errors.ShapeError, match=r"1 outputs.*2"):
        back(x, x)


@pytest.mark.parametrize(
    "inner",
    [
        lambda a, w: mg.value_and_grad(lambda v: (v * a * a).sum())(w)[1],
        lambda a, w: mg.vjp(lambda v: v * a * a, w)[1](mg.ones(2, dtype=w.dtype))[0],
        lambda a, w: mg.jvp(lambda v: v * a * a, w, mg.ones(2, dtype=w.dtype))[1],
        lambda a, w: mg.linearize(lambda v: v * a * a, w)[1](mg.ones(2, dtype=w.dtype)),
        lambda a, w: mg.jacrev(lambda v: (v * a * a).sum())(w),
        lambda a, w: mg.jacfwd(lambda v: (v * a * a).sum())(w),
        lambda a, w: mg.jacobian(lambda v: (v * a * a).sum(), w),
        lambda a, w: mg.hvp(lambda v: (v * v * a * a).sum() / 2, w, mg.ones(2, dtype=w.dtype)),
        lambda a, w: mg.hessian(lambda v: (v * v * a * a).sum() / 2, w).sum(axis=0),
    ],
)
def test_what_an_inner_transform_captures_is_differentiated_too(inner):
    """∂/∂a of ∂/∂w of Σ w a², w itself not on any tape."""
    a, w = mg.tensor([1.0, 3.0]), mg.tensor([5.0, 7.0])
    expected = [[2, 0], [0, 6]]
    assert mg.jacrev(lambda a: inner(a, w))(a).tolist() == expected
    assert mg.jacfwd(lambda a: inner(a, w))(a).tolist() == expected
    assert not inner(a, w).requires_grad
