"""Averages of weights against PyTorch's AveragedModel."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors, nn, optim


def walk(model, seed):
    for i, p in enumerate(model.parameters()):
        p.assign_(mg.tensor(np.random.default_rng([seed, i]).standard_normal(p.shape), p.dtype))


@pytest.mark.parametrize("kind", ["EMA", "SWA"])
def test_every_update_is_pytorchs(kind):
    torch = pytest.importorskip("torch")
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    model, other = nn.Linear(3, 2, dtype="float64"), torch.nn.Linear(3, 2, dtype=torch.float64)
    mine = optim.EMA(model, 0.9) if kind == "EMA" else optim.SWA(model)
    options = {"multi_avg_fn": get_ema_multi_avg_fn(0.9)} if kind == "EMA" else {}
    theirs = AveragedModel(other, **options)
    for step in range(6):
        walk(model, step)
        with torch.no_grad():
            for p, t in zip(model.parameters(), other.parameters(), strict=True):
                t.copy_(torch.tensor(p.numpy()))
        mine.update()
        theirs.update_parameters(other)
        if step == 3:
            again = type(mine)(model)
            again.load_state_dict(mine.state_dict())
            again.decay = getattr(mine, "decay", None)
            mine = again
        for a, b in zip(mine.averages, theirs.module.parameters(), strict=True):
            np.testing.assert_allclose(a, b.detach().numpy(), rtol=1e-12)


def test_applied_swaps_and_restores_also_when_the_body_raises():
    model = nn.Linear(3, 2)
    ema = optim.EMA(model, 0.5)
    for step in range(2):
        walk(model, step)
        ema.update()
    trained = [p.numpy().copy() for p in model.parameters()]

    def evaluate():
        with ema.applied():
            for p, mean in zip(model.parameters(), ema.averages, strict=True):
                np.testing.assert_array_equal(p.numpy(), mean)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        evaluate()
    for p, values in zip(model.parameters(), trained, strict=True):
        np.testing.assert_array_equal(p.numpy(), values)
    ema.copy_to()
    model.weight.assign_(model.weight * 0)
    assert np.abs(ema.averages[0]).sum() > 0  # the averages are no views of the parameters


def test_warm_up_follows_at_first():
    p = mg.tensor([0.0], requires_grad=True)
    ema = optim.EMA([p], 0.99, warmup=True)
    ema.update()
    p.assign_(mg.tensor([1.0]))
    ema.update()
    assert ema.averages[0] == pytest.approx([1 - 2 / 11])
    ema.num_updates = 10**6
    assert ema.weight() == pytest.approx(0.01)


def test_a_state_that_does_not_fit_changes_nothing():
    ema = optim.EMA(nn.Linear(3, 2))
    good = ema.state_dict()
    for bad in ({}, {**good, "averages": good["averages"][:1]}, {**good, "averages": [1, 2]}):
        with pytest.raises(errors.CheckpointError, match="nothing is changed"):
            ema.load_state_dict(bad)
    for wrong in (lambda: optim.EMA([]), lambda: optim.EMA([1.0]), lambda: optim.EMA([], 1.5)):
        with pytest.raises(errors.ConfigError):
            wrong()


def test_averages_keep_the_dtype_and_can_be_saved(tmp_path):
    model = nn.Linear(3, 2)
    ema = optim.EMA(model, np.float64(0.9))
    for step in range(3):
        walk(model, step)
        ema.update()
    assert {a.dtype.name for a in ema.averages} == {"float32"}
    mg.io.save_checkpoint(tmp_path / "a.safetensors", ema.state_dict())
    again = optim.EMA(model)
    again.load_state_dict(mg.io.load_checkpoint(tmp_path / "a.safetensors"))
    assert again.num_updates == 3
    np.testing.assert_array_equal(again.averages[0], ema.averages[0])
