"""Lion against its paper's lines; Muon against PyTorch's, with and without its bfloat16."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors, optim


def draw(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("decay", [0.0, 0.2])
@pytest.mark.parametrize("maximize", [False, True])
def test_lion_is_its_papers(decay, maximize):
    w = draw(0, 4, 3)
    p = mg.tensor(w, requires_grad=True)
    opt = optim.Lion([p], lr=0.02, betas=(0.9, 0.99), weight_decay=decay, maximize=maximize)
    m = np.zeros_like(w)
    for step in range(8):
        g = draw(step + 1, 4, 3)
        p.grad = mg.tensor(g)
        opt.step()
        g = -g if maximize else g
        w = w - 0.02 * (np.sign(0.9 * m + 0.1 * g) + decay * w)
        m = 0.99 * m + 0.01 * g
        np.testing.assert_allclose(p.numpy(), w, rtol=1e-13)


OPTIONS = [
    {},
    {"lr": 0.02, "weight_decay": 0.0, "nesterov": False, "ns_steps": 3},
    {"lr": 0.02, "adjust_lr_fn": "match_rms_adamw", "momentum": 0.8},
    {"lr": 0.02, "adjust_lr_fn": "original", "ns_coefficients": (2.0, -1.5, 0.5)},
]
SHAPES = [(4, 7), (7, 4), (5, 5), (1, 6)]


def run(options, torch, steps=6):
    """(ours, theirs) after each step."""
    ours = [mg.tensor(draw(i, *s), requires_grad=True) for i, s in enumerate(SHAPES)]
    theirs = [torch.tensor(p.numpy().copy(), requires_grad=True) for p in ours]
    a, b = optim.Muon(ours, **options), torch.optim.Muon(theirs, **options)
    for step in range(steps):
        if step == 3:
            saved = a.state_dict()
            a = optim.Muon(ours, lr=99.0)
            a.load_state_dict(saved)
        for i, (p, t) in enumerate(zip(ours, theirs, strict=True)):
            g = draw(100 * step + i, *p.shape)
            p.grad, t.grad = mg.tensor(g), torch.tensor(g)
        a.step()
        b.step()
        yield from zip(ours, theirs, strict=True)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_muon_is_pytorchs_but_for_the_rounding_to_bfloat16(options, monkeypatch):
    torch = pytest.importorskip("torch")
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this PyTorch has no Muon")
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    for p, t in run(options, torch):
        np.testing.assert_allclose(p.numpy(), t.detach().numpy(), rtol=1e-11, atol=1e-13)


def test_muon_is_near_pytorchs_in_bfloat16():
    torch = pytest.importorskip("torch")
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this PyTorch has no Muon")
    for p, t in run({"lr": 0.02, "weight_decay": 0.0}, torch, steps=1):
        np.testing.assert_allclose(p.numpy(), t.detach().numpy(), atol=0.02 * 0.05)


def test_a_direction_of_muon_has_singular_values_near_one():
    p = mg.tensor(np.zeros((6, 3)), requires_grad=True)
    p.grad = mg.tensor(draw(0, 6, 3) * 1e-3)
    optim.Muon([p], lr=1.0, weight_decay=0.0).step()
    singular = np.linalg.svd(p.numpy() / np.sqrt(2), compute_uv=False)
    assert (singular > 0.6).all()
    assert (singular < 1.3).all()


def test_muon_takes_rows_as_the_matrix_they_stand_for():
    values, ids = draw(0, 3, 4), np.array([1, 1, 5])
    sparse, dense = (mg.tensor(draw(1, 6, 4), requires_grad=True) for _ in range(2))
    sparse.grad = mg.RowSparse(ids, values, (6, 4))
    dense.grad = mg.Tensor(mg.RowSparse(ids, values, (6, 4)).to_dense())
    for p in (sparse, dense):
        optim.Muon([p]).step()
    np.testing.assert_array_equal(sparse.numpy(), dense.numpy())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"adjust_lr_fn": "best"}, "adjust_lr_fn"),
        ({"ns_coefficients": (1.0, 2.0)}, "ns_coefficients"),
        ({"ns_steps": 100}, "ns_steps"),
        ({"momentum": -1.0}, "momentum"),
    ],
)
def test_options_without_a_meaning(options, message):
    with pytest.raises(errors.ConfigError, match=message):
        optim.Muon([mg.tensor(np.ones((2, 2)), requires_grad=True)], **options)


def test_muon_is_for_matrices():
    with pytest.raises(errors.ConfigError, match=r"\(3,\).*AdamW"):
        optim.Muon([mg.tensor(np.ones(3), requires_grad=True)])
