"""A layer beside PyTorch's: the same weights, outputs and gradients in double precision."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg

torch = pytest.importorskip("torch")

TOLERANCE = 1e-9


def array(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def twins(mine, theirs):
    """The two with the same weights, drawn at random, in double precision."""
    theirs = theirs.double()
    rng = np.random.default_rng(5)
    with torch.no_grad():
        for p in theirs.parameters():
            p.copy_(torch.tensor(rng.standard_normal(p.shape) * 0.4))
    mine.to("float64").load_state_dict(theirs.state_dict())
    return mine, theirs


def leaves(values):
    """Each host array as a tensor of both kinds; floats require grad; anything else as it is."""
    mine, theirs = [], []
    for x in values:
        array = isinstance(x, np.ndarray)
        floating = array and x.dtype.kind == "f"
        mine.append(mg.tensor(x, requires_grad=floating) if array else x)
        theirs.append(torch.tensor(x, requires_grad=floating) if array else x)
    return mine, theirs


def assert_parity(mine, theirs, *inputs, tolerance=TOLERANCE, **options):
    """Outputs, and gradients of the parameters and of every floating input."""
    xs, ts = leaves(inputs)
    names = list(options)
    more, more_t = leaves(options.values())
    y = mine(*xs, **dict(zip(names, more, strict=True)))
    y_t = theirs(*ts, **dict(zip(names, more_t, strict=True)))
    ys = y if isinstance(y, tuple) else (y,)
    ys_t = y_t if isinstance(y_t, tuple) else (y_t,)
    gs = []
    for a, b in zip(ys, ys_t, strict=True):
        assert a.shape == tuple(b.shape)
        np.testing.assert_allclose(
            a.detach().numpy(), b.detach().numpy(), rtol=tolerance, atol=tolerance
        )
        gs.append(array(*a.shape, seed=7))
    total = sum((a * mg.asarray(g)).sum() for a, g in zip(ys, gs, strict=True))
    total_t = sum((b * torch.tensor(g)).sum() for b, g in zip(ys_t, gs, strict=True))
    for module in (mine, theirs):
        if hasattr(module, "parameters"):
            module.zero_grad()
    total.backward()
    total_t.backward()
    pairs = [*zip(xs, ts, strict=True), *zip(more, more_t, strict=True)]
    if hasattr(mine, "parameters"):
        named = dict(theirs.named_parameters())
        pairs += [(p, named[name]) for name, p in mine.named_parameters()]
        assert len(named) == len(list(mine.parameters()))
    for p, q in pairs:
        if getattr(q, "grad", None) is not None:
            found = p.grad.to_dense() if isinstance(p.grad, mg.RowSparse) else p.grad.numpy()
            expected = q.grad.to_dense() if q.grad.is_sparse else q.grad
            np.testing.assert_allclose(found, expected.numpy(), rtol=tolerance, atol=tolerance)


def assert_same_on_the_strict_device(module, *inputs, **options):
    """Under CuPy's rules, forward and backward: the CPU's numbers."""
    found = []
    for device in ("cpu", "strict"):
        module.to(device)
        module.zero_grad()
        xs = [
            mg.asarray(x, device=device).requires_grad_(x.dtype.kind == "f")
            if isinstance(x, np.ndarray)
            else x
            for x in inputs
        ]
        out = module(*xs, **options)
        outs = [y for y in (out if isinstance(out, tuple) else (out,)) if y is not None]
        sum((y * y).sum() for y in outs).backward()
        leaves = *module.parameters(), *xs
        gradients = [p.grad for p in leaves if getattr(p, "grad", None) is not None]
        assert all(y.device.name == device for y in outs)
        found.append([a.detach().numpy() for a in (*outs, *gradients)])
    module.to("cpu")
    assert len(found[0]) == len(found[1]) > 1
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-12)
