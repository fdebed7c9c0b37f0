"""Compiled steps under `mg.profile`: line by line, with the same results."""

from __future__ import annotations

import numpy as np

import minigrad as mg
from minigrad import nn


def test_each_line_is_an_event():
    w = mg.tensor(np.ones((4, 5)), requires_grad=True)

    @mg.compile
    def step(x):
        w.grad = None
        loss = mg.tanh(x @ w).sum()
        loss.backward()
        return loss

    x = mg.ones((3, 4), dtype="float64")
    step(x)
    expected = step(x * 2).item()
    with mg.profile() as p:
        assert step(x * 2).item() == expected
    events = [e for e in p.events if e.at is not None and "test_profile" in e.place]
    lines = [e for e in events if e.kind in ("forward", "backward")]
    assert len([e for e in p.events if e.name == "multiply"]) >= 1  # x * 2, outside
    named = {(e.name, e.kind) for e in lines}
    assert {("matmul", "forward"), ("tanh", "forward"), ("tanh", "backward")} <= named
    product = next(e for e in lines if e.name == "matmul" and e.kind == "forward")
    assert product.flops == 2 * 3 * 4 * 5
    assert product.nbytes == 8 * (3 * 4 + 4 * 5 + 3 * 5)


def test_branches_are_on_threads_of_their_own():
    layer = nn.Linear(6, 6)

    @mg.compile
    def step(x):
        layer.zero_grad()
        return mg.parallel.backward(
            lambda x: (layer(x) ** 2).mean(), (x,), axes=(0,), params=layer.parameters(), workers=2
        )

    x = mg.ones((8, 6))
    step(x)
    expected = step(x).item()
    with mg.profile() as p:
        assert step(x).item() == expected
    assert sum(e.name == "linear" for e in p.events) >= 4  # two products and two biases
