"""Models of the layers of `nn`, drawn: with fused ops, loops in loops, attention."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, viz

from . import nets

gallery = pytest.importorskip("docs.gallery.generate", reason="the documentation is not here")


class Tagger(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.embed = nn.Embedding(11, 4)
        self.rnn = layer
        width = layer.hidden_size * (2 if layer.bidirectional else 1)
        self.head = nn.Linear(width, 3)

    def forward(self, ids):
        return self.head(self.rnn(self.embed(ids))[0])


def tagger(steps=20, **options):
    """(model, loss) of a fused LSTM between an embedding and a linear layer."""
    mg.manual_seed(0)
    model = Tagger(nn.LSTM(4, 5, **options))
    ids = mg.tensor(np.random.default_rng(0).integers(0, 11, (steps, 2)))
    return model, (model(ids) ** 2).mean()


def recorded(loss, model=None, **options):
    with viz.record(loss) as seen:
        loss.backward()
    return viz.draw_graph(loss, model=model, record=seen, **options)


def layers_of_steps(layers=4, steps=8):
    """A loop in a loop, of plain ops: layers with weights of their own."""
    H = 4
    xs = [nets.constant(2, H, seed=t) for t in range(steps)]
    for i in range(layers):
        wx, wh = (nets.leaf(H, H, seed=2 * i + k, name=f"w{'xh'[k]}{i}") for k in (0, 1))
        h, out = mg.zeros((2, H)), []
        for x in xs:
            h = mg.tanh(x @ wx + h @ wh)
            out.append(h)
        xs = out
    return xs[-1].sum()


def lstm20():
    loss, params = nets.lstm(20)
    return recorded(loss, params=params)


DRAWN = {
    "lstm": cache(lstm20),
    "bilstm": cache(gallery.bilstm),
    "attention": cache(gallery.seq2seq),
    "transformer": cache(gallery.transformer),
}
