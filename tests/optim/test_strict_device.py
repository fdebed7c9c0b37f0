"""Each rule, the averages and clipping under CuPy's rules: the results are those on the CPU."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim
from minigrad.testing import strict
from tests.optim.rules import IDS, OWN, RULES, draw

MATRICES = [("Muon", {}), ("Muon", {"adjust_lr_fn": "match_rms_adamw", "nesterov": False})]


def train(name, options, device, *, rows=False):
    shapes = [(5, 3), (3, 5)] if name == "Muon" else [(5, 3), (4,), ()]
    params = [
        mg.tensor(draw(i, s), dtype="float32", device=device, requires_grad=True)
        for i, s in enumerate(shapes)
    ]
    opt = getattr(optim, name)(params, **options)
    where = params[0].device
    for step in range(4):
        for i, p in enumerate(params):
            p.grad = mg.tensor(draw([step, i], p.shape), dtype="float32", device=device)
        if rows:
            ids = where.asarray(np.array([3, 1, 3]))
            values = where.asarray(draw([step], (3, 3)).astype("float32"))
            params[0].grad = mg.RowSparse(ids, values, (5, 3))
        with strict.no_sync() if device == "strict" and not rows else mg.enable_grad():
            opt.step()
        if step == 1:
            saved = opt.state_dict()
            opt = getattr(optim, name)(params, **options)
            opt.load_state_dict(saved)
    return [p.numpy() for p in params]


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize(
    ("name", "options"), RULES + OWN + MATRICES, ids=[*IDS, *map(str, OWN + MATRICES)]
)
def test_rules(name, options, rows):
    found = train(name, options, "strict", rows=rows)
    for a, b in zip(found, train(name, options, "cpu", rows=rows), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_averages_and_clipping():
    results = []
    for device in ("cpu", "strict"):
        p = mg.tensor(draw(0, (4, 3)), device=device, requires_grad=True)
        ema = optim.EMA([p], 0.9)
        for step in range(3):
            p.grad = mg.tensor(draw([step], (4, 3)), device=device)
            optim.clip_grad_norm_([p], 0.5)
            optim.clip_grad_value_([p], 0.2)
            optim.SGD([p], lr=0.1).step()
            ema.update()
        with ema.applied():
            results.append(p.numpy().copy())
    np.testing.assert_allclose(*results, rtol=1e-12)
