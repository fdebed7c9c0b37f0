"""What the tests of the command line draw, check and list."""

from __future__ import annotations

import numpy as np

import minigrad as mg
from minigrad import nn, viz

SECRET = 3


def loss():
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))
    x = mg.tensor(np.ones((2, 4), np.float32))
    return (0.5 * model(x)[:, 0]).sum(), model


def freed():
    value, model = loss()
    value.backward()
    return value, model


def named():
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    return w * w, {"w": w}


def drawn():
    return viz.draw_graph(named()[0], title="by hand")


def recurrent():
    mg.manual_seed(0)
    model = nn.LSTM(2, 2)
    return model(mg.tensor(np.ones((3, 1, 2), np.float32)))[0].mean(), model


def pair():
    return (lambda x, w: mg.tanh(x @ w)), {"x": np.ones((2, 3)), "w": np.ones((3, 2))}


def positional():
    x = mg.tensor(np.ones(2), requires_grad=True)
    x.name = "x"
    return mg.exp, x


def declared(x=np.ones(3), h=0.5, n=2):  # noqa: B008
    return mg.sigmoid(x) * h**n


@mg.op
def crooked(xp, x):
    return xp.sin(x)


crooked.defvjp(lambda g, y, x: g * x)


def wrong():
    return crooked, mg.tensor(np.array([0.3, 0.5]), requires_grad=True)


def forgotten():
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    return (w + mg.tensor([3.0, 4.0])).sum()


def constant():
    return mg.tensor([1.0, 2.0]).sum()


def number():
    return 3


def needy(x):
    return x
