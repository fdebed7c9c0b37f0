"""Fused ops make what they hand out and what the way back needs; what else they need is small."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.backend import fast
from minigrad.ops import rows
from tests.allocations import allocations

IDS = mg.asarray(np.random.default_rng(0).integers(0, 50, (64, 32)))
LINEAR, NORM = nn.Linear(64, 64, activation="tanh"), nn.LayerNorm(64)
TABLE, ADDITIVE = nn.Embedding(50, 64), nn.AdditiveAttention(64, 64)


def attention(x):
    q, k, v = (mg.reshape(x, (16, 4, 32, 64)) for _ in range(3))
    return mg.scaled_dot_product_attention(q, k, v)[0]


# name: function, shape of x, arrays of half its size or more: forward, backward
CASES = {
    # y; with g ∘ σ' and dx
    "linear and activation": (LINEAR, (64, 32, 64), 1, 2),
    # the rows; with the rows sorted by id
    "embedding": (lambda x: TABLE(IDS), (64, 32, 64), 1, 1),
    # the slope, which is the gradient
    "cross entropy": (lambda x: mg.cross_entropy(x, IDS[:, 0]), (64, 50), 1, 0),
    "cross entropy, many classes": (lambda x: mg.cross_entropy(x, IDS[:, 0]), (64, 10_000), 1, 0),
    # y and the normalised x; with dx and one product
    "layer norm": (NORM, (64, 32, 64), 2, 2),
    # q / √d, weights, y; with what follows for each
    "scaled dot product": (attention, (64, 32, 64), 3, 6),
    # keys and tanh; with their slope, dkeys and dx twice
    "additive attention": (lambda x: ADDITIVE(x[:, 0], x)[0], (32, 20, 64), 2, 4),
}


@pytest.mark.parametrize("name", CASES)
def test_large_arrays_of_a_steady_step(name):
    function, shape, *expected = CASES[name]
    x = mg.randn(*shape, requires_grad=True)
    before = mg.get_num_threads()
    mg.set_num_threads(1)
    try:
        with fast.switched(False):
            for _ in range(3):
                x.grad = None
                for module in (LINEAR, NORM, TABLE, ADDITIVE):
                    module.zero_grad()
                with allocations() as sizes:
                    y = function(x)
                    start = len(sizes)
                    y.sum().backward()
                counts = [len(large(part, x)) for part in (sizes[:start], sizes[start:])]
    finally:
        mg.set_num_threads(before)
    assert counts == expected


def large(sizes, x):
    return [size for size in sizes if 2 * size >= x.nbytes]


def test_a_long_row_of_ones_is_not_kept(monkeypatch):
    monkeypatch.setattr(rows, "KEPT", 100)
    rows._kept_ones.cache_clear()
    for n in 100, 101:
        np.testing.assert_array_equal(rows.column_sums(np, np.ones((n, 2))), [n, n])
    assert rows._kept_ones.cache_info().currsize == 1
