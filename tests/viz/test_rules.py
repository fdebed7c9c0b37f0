"""Every derivative rule is told in words and as a formula."""

from __future__ import annotations

import re

import numpy as np
import pytest

import minigrad as mg
import minigrad.ops.recurrent  # its ops are registered when they are first needed
from minigrad import viz
from minigrad.engine import OPS
from minigrad.viz.rules import formula_text, rule_formulas, rule_text, rule_words
from minigrad.viz.words import RULES
from tests.viz import nets

DERIVED = sorted(
    n for n, op in OPS.items() if op.differentiable and op.__module__.startswith("minigrad.")
)


@pytest.mark.parametrize("name", DERIVED)
def test_every_op_of_minigrad_has_words_and_formulas(name):
    op = OPS[name]
    assert name in RULES, f"write a line about {name} in minigrad/viz/words.py"
    assert rule_words(op)
    assert ": " not in rule_words(op)
    formulas = rule_formulas(op)
    assert formulas
    assert not re.search(r"(?<!\w)_\w", rule_text(op)), "a private name is shown"
    if op.fused or op.variadic:
        return
    with_rule = [a for a, rule in zip(op.arrays, op.rules, strict=True) if rule is not None]
    assert [a for a, f in formulas if a in with_rule or f != "0"] == with_rule


def test_words_are_of_ops_that_exist():
    assert set(RULES) - {"checkpoint"} <= set(OPS)


NUMERIC = {  # formula as Python, beside the gradient
    "tanh": lambda g, x, y: g * (1 - y**2),
    "sigmoid": lambda g, x, y: g * y * (1 - y),
    "exp": lambda g, x, y: g * y,
    "silu": lambda g, x, y: g / (1 + np.exp(-x)) * (1 + x * (1 - 1 / (1 + np.exp(-x)))),
    "log_softmax": lambda g, x, y: g - np.exp(y) * g.sum(-1, keepdims=True),
    "softmax": lambda g, x, y: y * (g - (g * y).sum(-1, keepdims=True)),
    "softsign": lambda g, x, y: g / (1 + np.abs(x)) ** 2,
    "tanhshrink": lambda g, x, y: g * np.tanh(x) ** 2,
    "logsigmoid": lambda g, x, y: g / (1 + np.exp(x)),
    "mish": lambda g, x, y: g * (
        (t := np.tanh(np.log1p(np.exp(x)))) + x / (1 + np.exp(-x)) * (1 - t**2)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(NUMERIC))
def test_a_formula_is_the_gradient(name):
    rng = np.random.default_rng(0)
    x = mg.tensor(rng.standard_normal((3, 4)), requires_grad=True)
    g = rng.standard_normal((3, 4))
    y = OPS[name](x)
    y.backward(mg.tensor(g))
    np.testing.assert_allclose(x.grad.numpy(), NUMERIC[name](g, x.numpy(), y.numpy()), rtol=1e-9)


def _by_helper(g, _y, x):
    """Twice g x."""
    return 2 * g * x


def _twice(g, x):
    return 2 * g * x


def test_a_rule_of_the_user_is_quoted():
    @mg.op
    def own_square(xp, x):
        """x²."""
        return x * x

    own_square.defvjp(lambda g, _y, x: _twice(g, x))
    assert rule_words(own_square) == ""
    graph = viz.draw_graph(own_square(nets.leaf(2)).sum(), detail="cards")
    assert graph.ir.items["1"].rule == "x: twice(g, x)"
    assert formula_text(top_square) == "x: twice(g, x)"
    assert formula_text(top_cube) == "x: Twice g x"


@mg.op
def top_square(xp, x):
    """x²."""
    return x * x


top_square.defvjp(lambda g, _y, x: _twice(g, x))


@mg.op
def top_cube(xp, x):
    """x² again."""
    return x * x


top_cube.defvjp(_by_helper)
