"""Row-sparse gradients of an embedding, end to end: decay, clipping, saving."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim

RULES = {
    "sgd": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
    "adam": lambda p: optim.Adam(p, lr=0.05, weight_decay=0.1, amsgrad=True),
    "adamw": lambda p: optim.AdamW(p, lr=0.05, weight_decay=0.3),
    "nadam": lambda p: optim.NAdam(p, lr=0.05, weight_decay=0.3, decoupled_weight_decay=True),
    "lion": lambda p: optim.Lion(p, lr=0.01, weight_decay=0.3),
    "asgd": lambda p: optim.ASGD(p, lr=0.1, lambd=0.1, t0=1),
}


def train(sparse, make, batches, clip):
    mg.manual_seed(0)
    table, head = nn.Embedding(9, 4, sparse=sparse), nn.Linear(4, 2)
    params = [*table.parameters(), *head.parameters()]
    opt = make(params)
    for number, ids in enumerate(batches):
        opt.zero_grad()
        loss = (head(mg.tanh(table(mg.tensor(ids)))) ** 2).sum()
        loss.backward()
        assert isinstance(table.weight.grad, mg.RowSparse) == sparse
        if clip == "norm":
            optim.clip_grad_norm_(params, 0.1)
        elif clip == "value":
            optim.clip_grad_value_(params, 0.05)
        opt.step()
        if number == 1:
            state = opt.state_dict()
            opt = make(params)
            opt.load_state_dict(state)
    return [p.numpy() for p in params]


@pytest.mark.parametrize("clip", [None, "norm", "value"])
@pytest.mark.parametrize("rule", RULES)
def test_training_by_rows_is_dense_training_where_each_row_is_read(rule, clip):
    batches = [np.random.default_rng(i).permutation(np.r_[np.arange(9), 3, 3, 5]) for i in range(4)]
    for a, b in zip(
        train(True, RULES[rule], batches, clip),
        train(False, RULES[rule], batches, clip),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("rule", RULES)
def test_rows_that_are_not_read_neither_move_nor_decay(rule):
    mg.manual_seed(0)
    start = nn.Embedding(9, 4).weight.numpy().copy()
    end = train(True, RULES[rule], [np.array([1, 4, 1])] * 3, "norm")[0]
    rest = [0, 2, 3, 5, 6, 7, 8]
    np.testing.assert_array_equal(end[rest], start[rest])
    assert (end[[1, 4]] != start[[1, 4]]).all()
