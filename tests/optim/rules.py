"""Every rule with options; parameters and gradients to try it on; PyTorch's optimiser beside it."""

from __future__ import annotations

import numpy as np

import minigrad as mg
from minigrad import optim

RULES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.02}),
    ("Adam", {"lr": 0.05, "betas": (0.5, 0.6), "amsgrad": True, "weight_decay": 0.02}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.05, "betas": (0.5, 0.7), "weight_decay": 0.3}),
    ("AdamW", {"lr": 0.05, "amsgrad": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.05, "alpha": 0.8, "momentum": 0.7, "weight_decay": 0.03}),
    ("RMSprop", {"lr": 0.05, "centered": True}),
    ("RMSprop", {"lr": 0.05, "centered": True, "momentum": 0.5, "eps": 1e-4}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.2, "lr_decay": 0.1, "weight_decay": 0.05}),
    ("Adagrad", {"lr": 0.2, "initial_accumulator_value": 0.5, "eps": 1e-6}),
    ("NAdam", {}),
    ("NAdam", {"lr": 0.05, "betas": (0.8, 0.95), "weight_decay": 0.1, "momentum_decay": 0.1}),
    ("NAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {}),
    ("RAdam", {"lr": 0.05, "betas": (0.8, 0.9), "weight_decay": 0.1, "eps": 1e-5}),
    ("RAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("Adamax", {}),
    ("Adamax", {"lr": 0.05, "betas": (0.8, 0.9), "weight_decay": 0.1, "eps": 1e-3}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.7, "weight_decay": 0.1, "eps": 1e-4}),
    ("Rprop", {}),
    ("Rprop", {"lr": 0.05, "etas": (0.3, 1.7), "step_sizes": (0.04, 0.1)}),
    ("ASGD", {}),
    ("ASGD", {"lr": 0.1, "lambd": 0.1, "alpha": 0.6, "t0": 2, "weight_decay": 0.1}),
    *((name, {"lr": 0.05, "maximize": True}) for name in ("SGD", "Adam", "AdamW", "RMSprop")),
    *((name, {"lr": 0.05, "maximize": True}) for name in ("Adagrad", "NAdam", "RAdam", "Adamax")),
    *((name, {"lr": 0.05, "maximize": True}) for name in ("Adadelta", "Rprop", "ASGD")),
]
IDS = [f"{name}({', '.join(f'{k}={v}' for k, v in o.items())})" for name, o in RULES]
NAMES = list(dict.fromkeys(name for name, _ in RULES))
OWN = [("Lion", {}), ("Lion", {"lr": 0.01, "betas": (0.8, 0.9), "weight_decay": 0.3})]
SHAPES = [(3, 4), (5,), ()]


def draw(seed, shape):
    return np.asarray(np.random.default_rng(seed).standard_normal(shape))


def fresh(shapes=SHAPES, dtype="float64"):
    return [
        mg.tensor(draw(i, shape), dtype=dtype, requires_grad=True) for i, shape in enumerate(shapes)
    ]


def give(params, seed, *, skip=()):
    """The same random gradients each time, zeros among them."""
    for i, p in enumerate(params):
        g = draw([seed, i], p.shape) * (1 + seed)
        p.grad = None if i in skip else mg.tensor(np.where(g > 1.5, 0, g), dtype=p.dtype)


def values(params):
    return [p.numpy().copy() for p in params]


def assert_same(found, expected, **tolerance):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, **(tolerance or {"rtol": 1e-12, "atol": 1e-14}))


def alone(name, options, shapes, dtype="float64"):
    """The same parameters, each with an optimiser of its own."""
    params = fresh(shapes, dtype)
    return params, [getattr(optim, name)([p], **options) for p in params]


class Theirs:
    """PyTorch's optimiser on the same parameters, fed the same gradients."""

    def __init__(self, name, params, options, torch):
        self.torch = torch
        self.params = [torch.tensor(p.numpy(), requires_grad=True) for p in params]
        torch.set_default_dtype(torch.float64)  # the dtype of PyTorch's own scalar states
        self.optimizer = getattr(torch.optim, name)(self.params, **options)

    def step(self, params):
        for mine, p in zip(self.params, params, strict=True):
            mine.grad = None if p.grad is None else self.torch.tensor(p.grad.numpy())
        self.optimizer.step()

    def values(self):
        return [p.detach().numpy() for p in self.params]
