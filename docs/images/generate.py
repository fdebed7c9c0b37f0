"""The pictures of the README and of the pages about the engine.

    python docs/images/generate.py        # writes the SVG files beside this file

Needs Graphviz (`pip install "minigrad[viz]"`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad import nn, viz

HERE = Path(__file__).parent


def tape() -> viz.Graph:
    """The five lines of docs/tape.md."""
    x = mg.tensor([0.5, -1.0, 2.0])
    w = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    b = mg.tensor(0.5, requires_grad=True)
    y = mg.tanh(w * x + b)
    loss = (y * y).sum()
    loss.backward()
    return viz.draw_graph(loss, params={"x": x, "w": w, "b": b}, title="loss = Σ tanh(w x + b)²")


class Tagger(nn.Module):
    """The model of the README's tour."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(1000, 32)
        self.lstm = nn.LSTM(32, 64, bidirectional=True)
        self.head = nn.Linear(128, 5)

    def forward(self, words: np.ndarray, lengths: list[int]) -> mg.Tensor:
        states, _ = self.lstm(self.embedding(words), lengths=lengths)
        return self.head(states)


def tour() -> viz.Graph:
    """The tagger of the README's tour, after backward."""
    mg.manual_seed(0)
    model = Tagger()
    words = np.random.default_rng(0).integers(0, 1000, (20, 4))
    tags = np.where(np.arange(20)[:, None] < [20, 7, 13, 1], words % 5, -100)
    loss = mg.cross_entropy(model(words, [20, 7, 13, 1]), tags)
    loss.name = "loss"
    loss.backward()
    return viz.draw_graph(loss, model=model)


def main() -> None:
    for draw in (tape, tour):
        draw().render(HERE / f"{draw.__name__}.svg")


if __name__ == "__main__":
    main()
