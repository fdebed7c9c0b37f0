"""Random programs, whose gradients are PyTorch's."""

from __future__ import annotations

import random

import numpy as np
import pytest

import minigrad as mg


def leaf(values, dtype="float64"):
    return mg.tensor(values, dtype=dtype, requires_grad=True)


def program(seed, lib, xs):
    """A random program on the values `xs`, the same for minigrad and torch: outputs, all values."""
    rng = random.Random(seed)
    values = list(xs)
    unary = ["tanh", "sin", "exp", "sigmoid", "square", "sum0", "T", "slice"]
    binary = ["add", "mul", "sub", "div", "matmul", "where", "cat"]
    for _ in range(rng.randint(5, 25)):
        name = rng.choice(unary + binary * 2)
        a, b = rng.choice(values), rng.choice(values)
        if name == "sum0":
            c = a.sum(axis=0, keepdims=True) + b * 0.1
        elif name == "T":
            c = a.T + b
        elif name == "slice":
            c = lib.cat([a[1:], b[:1]])
        elif name == "exp":
            c = lib.exp(a * 0.1)
        elif name in ("tanh", "sin", "sigmoid", "square"):
            c = getattr(lib, name)(a)
        elif name == "div":
            c = a / (b * b + 1)
        elif name == "where":
            c = lib.where(a > b, a * 2, b)
        elif name == "cat":
            c = lib.cat([a, b])[::2]
        elif name == "matmul":
            c = a @ b * 0.2
        else:
            c = {"add": a + b, "mul": a * b, "sub": a - b}[name]
        values.append(c)
    outputs = [rng.choice(values[len(xs) :]) for _ in range(rng.randint(1, 3))]
    return outputs, values


class Ours:
    cat = staticmethod(mg.concat)

    def __getattr__(self, name):
        return getattr(mg, name)


@pytest.mark.parametrize("seed", range(40))
def test_random_programs_agree_with_torch(seed):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal((3, 3)) for _ in range(3)]

    ours = [leaf(a) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    outs, values = program(seed, Ours(), ours)
    outs_t, values_t = program(seed, torch, theirs)
    for out, out_t in zip(outs, outs_t, strict=True):
        np.testing.assert_allclose(out.numpy(), out_t.detach().numpy(), rtol=1e-10, atol=1e-12)

    # first order: leaves and intermediates at once, some of them ancestors of others
    pick = rng.choice(len(values), 4, replace=False)
    gs = [rng.standard_normal((3, 3)) for _ in outs]
    found = mg.grad(
        outs, [values[i] for i in pick], gs, create_graph=bool(seed % 2), allow_unused=True,
        retain_graph=True,
    )  # fmt: skip
    expected = torch.autograd.grad(
        outs_t, [values_t[i] for i in pick], [torch.tensor(g) for g in gs], allow_unused=True,
        create_graph=True,
    )  # fmt: skip
    for ours_g, theirs_g in zip(found, expected, strict=True):
        assert (ours_g is None) == (theirs_g is None)
        if ours_g is not None:
            np.testing.assert_allclose(
                ours_g.numpy(), theirs_g.detach().numpy(), rtol=1e-9, atol=1e-11
            )

    # second order, through .grad
    def second(lib, outs, xs):
        total = sum((o * o).sum() for o in outs)
        grads = [
            g
            for g in lib.grad(total, xs, create_graph=True, allow_unused=True)
            if g is not None and g.requires_grad
        ]
        if grads:
            sum((g * g).sum() for g in grads).backward()

    second(mg, outs, ours)
    second(torch.autograd, outs_t, theirs)
    for x, x_t in zip(ours, theirs, strict=True):
        g = np.zeros((3, 3)) if x.grad is None else x.grad.numpy()
        g_t = np.zeros((3, 3)) if x_t.grad is None else x_t.grad.numpy()
        scale = max(1.0, np.abs(g_t).max())
        np.testing.assert_allclose(g / scale, g_t / scale, rtol=1e-8, atol=1e-10)
