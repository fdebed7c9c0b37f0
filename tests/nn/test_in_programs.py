"""Losses and layers that look at lengths, masks or values, in a compiled step."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import DataError, IndexRangeError, ShapeError

RNG = np.random.default_rng(0)
T, B, K = 6, 4, 3


def scores(*shape):
    return RNG.normal(size=shape)


def tags(*shape):
    return RNG.integers(0, K, shape)


def lengths(most):
    return RNG.integers(1, most + 1, B)


def mask():
    return np.arange(T)[:, None] < lengths(T)


def labels():
    return np.sort(RNG.integers(-1, K, (B, K)))[:, ::-1].copy()


CRF = nn.CRF(K, dtype="float64")
CELLS = nn.Bidirectional(nn.CellRNN(nn.GRUCell(K, 5, dtype="float64")))
LSTM = nn.LSTM(K, 5, dtype="float64")


def ctc(x, targets, frames, counts):
    return mg.ctc_loss(mg.log_softmax(x, axis=-1), targets, frames, counts)


# name → what is computed, and what draws its arguments; the first one gets a gradient
CASES = {
    "probabilities": (mg.binary_cross_entropy, lambda: (RNG.random((B, K)), RNG.random((B, K)))),
    "variances": (
        mg.gaussian_nll_loss,
        lambda: (scores(B, K), scores(B, K), RNG.random((B, 1))),
    ),
    "several labels": (mg.multilabel_margin_loss, lambda: (scores(B, K), labels())),
    "CTC": (ctc, lambda: (scores(T, B, K + 1), 1 + tags(B, 2), lengths(T), lengths(2))),
    "CRF, lengths": (
        lambda x, y, n: CRF(x, y, lengths=n, reduction="token_mean"),
        lambda: (scores(T, B, K), tags(T, B), lengths(T)),
    ),
    "CRF, mask": (
        lambda x, y, on: CRF(x, y, on, "mean"),
        lambda: (scores(T, B, K), tags(T, B), mask()),
    ),
    "marginals": (
        lambda x, n: (CRF.marginals(x, lengths=n) * x).sum(),
        lambda: (scores(T, B, K), lengths(T)),
    ),
    "cells, both ways": (
        lambda x, n: CELLS(x, lengths=n)[0].sum(),
        lambda: (scores(T, B, K), lengths(T)),
    ),
    "LSTM": (
        lambda x, n: LSTM(x, lengths=n)[0].sum(),
        lambda: (scores(T, B, K), lengths(T)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_replay_reads_its_own(name):
    function, draw = CASES[name]
    step = mg.compile(mg.value_and_grad(function))
    for _ in range(4):
        arguments = [mg.tensor(a) for a in draw()]
        expected = mg.value_and_grad(function)(*arguments)
        for ours, plain in zip(step(*arguments), expected, strict=True):
            np.testing.assert_allclose(ours.numpy(), plain.numpy(), rtol=1e-12, atol=1e-14)
    assert len(step.programs) == 1


@pytest.mark.parametrize(
    ("name", "place", "wrong", "error"),
    [
        ("probabilities", 0, 1.5, DataError),
        ("variances", 2, -1.0, DataError),
        ("several labels", 1, K, IndexRangeError),
        ("CTC", 1, K + 1, IndexRangeError),
        ("CTC", 2, T + 1, ShapeError),
        ("CTC", 3, 3, ShapeError),
        ("CRF, lengths", 1, K, IndexRangeError),
        ("CRF, lengths", 2, T + 1, ShapeError),
        ("cells, both ways", 1, T + 1, ShapeError),
    ],
)
def test_each_replay_looks_for_what_is_wrong(name, place, wrong, error):
    function, draw = CASES[name]
    step = mg.compile(function)
    arguments = list(draw())
    step(*arguments)
    arguments[place] = np.full_like(arguments[place], wrong)
    with pytest.raises(error):
        step(*arguments)


def test_a_mask_with_gaps_in_a_replay():
    function, draw = CASES["CRF, mask"]
    step = mg.compile(function)
    x, y, on = draw()
    step(x, y, on)
    on[0] = False
    with pytest.raises(ShapeError, match="gaps"):
        step(x, y, on | (np.arange(T) == T - 1)[:, None])


def test_second_derivatives_with_lengths_of_an_input():
    def penalty(x, n):
        (first,) = mg.grad(LSTM(x, lengths=n)[0].sum(), [x], create_graph=True)
        return (first * first).sum()

    step = mg.compile(mg.value_and_grad(penalty))
    for _ in range(3):
        x, n = mg.tensor(scores(T, B, K)), mg.tensor(lengths(T))
        for ours, plain in zip(step(x, n), mg.value_and_grad(penalty)(x, n), strict=True):
            np.testing.assert_allclose(ours.numpy(), plain.numpy(), rtol=1e-10, atol=1e-12)


def test_rows_are_kept_short_in_a_program():
    ids = mg.tensor([[1, 2], [3, 1]])
    table, twin = (nn.Embedding(9, 5, max_norm=0.5) for _ in range(2))
    twin.load_state_dict(table.state_dict())
    step = mg.compile(table)
    for rows in (ids, ids + 4):
        np.testing.assert_array_equal(step(rows).numpy(), twin(rows).numpy())
    np.testing.assert_array_equal(table.weight.numpy(), twin.weight.numpy())
