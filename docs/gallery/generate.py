"""The gallery: each picture with the code that made it.

    python docs/gallery/generate.py          # writes docs/gallery/index.md and its SVG files

Needs Graphviz (`pip install "minigrad[viz]"`). An entry is a function; what stands on the page is
its own source.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad import nn, viz

HERE = Path(__file__).parent
F = nn.functional


def numbers(*shape: int, seed: int = 0) -> mg.Tensor:
    """Normal random numbers."""
    return mg.tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def classes(high: int, *shape: int) -> mg.Tensor:
    """Random class numbers below `high`."""
    return mg.tensor(np.random.default_rng(1).integers(0, high, shape))


def mlp() -> viz.Graph:
    """A perceptron, before `backward()`

    A module of one op is drawn as that op; circles are elementwise, cylinders parameters. The
    banner says that there are no gradients yet.
    """
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    x, y = numbers(16, 4), classes(3, 16)
    loss = F.cross_entropy(model(x), y)
    return viz.draw_graph(loss, model=model, params={"x": x, "y": y})


def mlp_cards() -> viz.Graph:
    """The same after `backward()`, with each op's derivative rule

    The rules are quoted from the source of the ops; the norms are those of the gradients.
    """
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    x, y = numbers(16, 4), classes(3, 16)
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    return viz.draw_graph(loss, model=model, detail="cards", show_values=True)


def rnn() -> viz.Graph:
    """An RNN, opened and folded

    `nn.RNN` is one fused line on the tape; `expand="rnn"` shows its definition in plain ops. Twenty
    steps become one cell: h [t−1] enters on the left, h [t] leaves on the right.
    """
    model, x, y = nn.RNN(8, 32), numbers(20, 64, 8), numbers(64, 32, seed=1)
    output, _ = model(x)
    loss = F.mse_loss(output[-1], y)
    with viz.record(loss, expand="rnn") as seen:
        loss.backward()
    return viz.draw_graph(loss, model=model, params={"x": x, "y": y}, record=seen)


def lstm() -> viz.Graph:
    """An LSTM with its gates, values and gradients through time

    Each strip has one column per step. The gradient strips fade to the left: the further back, the
    smaller. Gates are recognised by how they are wired, not by name.
    """
    model, x, y = nn.LSTM(8, 32), numbers(20, 64, 8), numbers(64, 32, seed=1)
    output, _ = model(x)
    loss = F.mse_loss(output[-1], y)
    with viz.record(loss, expand="lstm") as seen:
        loss.backward()
    return viz.draw_graph(loss, model=model, params={"x": x, "y": y}, record=seen)


def gru() -> viz.Graph:
    """A GRU

    Reset gate, update gate, candidate.
    """
    model, x, y = nn.GRU(8, 32), numbers(20, 64, 8), numbers(64, 32, seed=1)
    output, _ = model(x)
    loss = F.mse_loss(output[-1], y)
    with viz.record(loss, expand="gru") as seen:
        loss.backward()
    return viz.draw_graph(loss, model=model, params={"x": x, "y": y}, record=seen)


def bilstm() -> viz.Graph:
    """A bidirectional LSTM

    The backward direction counts t down; the strips of both read in the order of the clock.
    """
    model, x = nn.LSTM(8, 16, bidirectional=True), numbers(12, 4, 8)
    output, _ = model(x)
    loss = (output * output).mean()
    with viz.record(loss, expand="lstm") as seen:
        loss.backward()
    return viz.draw_graph(loss, model=model, params={"x": x}, record=seen)


class Decoder(nn.Module):
    """A GRU that looks at a memory before each step."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.AdditiveAttention(16, 16, 16)
        self.cell = nn.GRUCell(8 + 16, 16)
        self.head = nn.Linear(16, 20)

    def forward(self, words: mg.Tensor, memory: mg.Tensor, state: mg.Tensor) -> mg.Tensor:
        logits = []
        for word in words:
            context, _ = self.attention(state, memory)
            state = self.cell(mg.concat([word, context], axis=-1), state)
            logits.append(self.head(state))
        return mg.stack(logits)


class Translator(nn.Module):
    """Encoder, decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.source, self.target = nn.Embedding(20, 8), nn.Embedding(20, 8)
        self.encoder, self.decoder = nn.GRU(8, 16, batch_first=True), Decoder()

    def forward(self, source: mg.Tensor, target: mg.Tensor) -> mg.Tensor:
        memory, state = self.encoder(self.source(source))
        return self.decoder(self.target(target), memory, state[0])


def seq2seq() -> viz.Graph:
    """An encoder and a decoder with attention

    Nine decoding steps in one cell. Modules deeper than `depth=2` are closed to one node each.
    """
    model = Translator()
    source, target = classes(20, 3, 7), classes(20, 9, 3)
    logits = model(source, target)
    loss = F.cross_entropy(logits.reshape((27, 20)), classes(20, 27))
    with viz.record(loss) as seen:
        loss.backward()
    names = {"source": source, "target": target}
    return viz.draw_graph(loss, model=model, params=names, record=seen)


class Block(nn.Module):
    """Attention and a perceptron, each added to what it read."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(16), nn.LayerNorm(16)
        self.attention = nn.MultiheadAttention(16, 4)
        self.up, self.down = nn.Linear(16, 64), nn.Linear(64, 16)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        n = self.norm1(x)
        x = x + self.attention(n, n, n)[0]
        return x + self.down(mg.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    """Twelve blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 16)
        self.blocks = [Block() for _ in range(12)]
        self.head = nn.Linear(16, 20)

    def forward(self, ids: mg.Tensor) -> mg.Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def transformer() -> viz.Graph:
    """A Transformer of twelve blocks

    Layers have parameters of their own, so the badge says ×12 layers, not steps; the strips go from
    the first block to the last.
    """
    model, ids = Transformer(), classes(20, 7, 2)
    loss = F.cross_entropy(model(ids).reshape((14, 20)), classes(20, 14))
    with viz.record(loss) as seen:
        loss.backward()
    return viz.draw_graph(loss, model=model, params={"ids": ids}, record=seen)


def double_backward() -> viz.Graph:
    """The gradient of a gradient

    With `create_graph=True` the backward pass is recorded like any other computation.
    """
    x = numbers(3).requires_grad_()
    y = mg.tanh(x).sum()
    (gradient,) = mg.grad(y, [x], create_graph=True)
    penalty = (gradient * gradient).sum()
    return viz.draw_graph(penalty, params={"x": x}, title="‖∂y/∂x‖²")


def checkpointing() -> viz.Graph:
    """A checkpointed segment

    One line that keeps its inputs only, and computes the inside again in the backward pass.
    """
    w, x = numbers(4, 4).requires_grad_(), numbers(2, 4, seed=1)

    def segment(h: mg.Tensor) -> mg.Tensor:
        return mg.tanh(mg.tanh(h @ w) @ w)

    h = mg.checkpoint(segment, x @ w)
    return viz.draw_graph((h * h).sum(), params={"w": w, "x": x})


def tied_weights() -> viz.Graph:
    """Tied weights

    The embedding is also the output layer; its one cylinder has two arrows.
    """
    table, ids = numbers(20, 8).requires_grad_(), classes(20, 6)
    vectors = mg.tanh(table[ids])
    loss = F.cross_entropy(vectors @ table.T, classes(20, 6))
    return viz.draw_graph(loss, params={"table": table, "ids": ids})


def loops_in_loops() -> viz.Graph:
    """Four layers of five hundred steps

    Thirty-two thousand lines; loops are folded inside loops.
    """
    inputs = [numbers(2, 4, seed=t) for t in range(500)]
    for layer in range(4):
        w, u = (numbers(4, 16, seed=2 * layer + i).requires_grad_() for i in (0, 1))
        h, c, outputs = mg.zeros((2, 4)), mg.zeros((2, 4)), []
        for x in inputs:
            z = x @ w + h @ u
            i, f, o = mg.sigmoid(z[:, :4]), mg.sigmoid(z[:, 4:8]), mg.sigmoid(z[:, 8:12])
            c = f * c + i * mg.tanh(z[:, 12:])
            h = o * mg.tanh(c)
            outputs.append(h)
        inputs = outputs
    return viz.draw_graph(mg.stack(inputs).sum())


ENTRIES: tuple[Callable[[], viz.Graph], ...] = (
    mlp, mlp_cards, rnn, lstm, gru, bilstm, seq2seq, transformer, double_backward, checkpointing,
    tied_weights, loops_in_loops,
)  # fmt: skip


def page(entry: Callable[[], viz.Graph], graph: viz.Graph) -> str:
    """The Markdown of one entry."""
    heading, _, text = inspect.cleandoc(entry.__doc__ or entry.__name__).partition("\n")
    source = inspect.getsource(entry)
    body = source.split('"""', 2)[2]
    code = textwrap.dedent(body.replace("    return viz.draw_graph", "    graph = viz.draw_graph"))
    return (
        f"## {heading}\n\n{text.strip()}\n\n"
        f"![{heading}: {'; '.join(graph.ir.notes)}]({entry.__name__}.svg)\n\n"
        f"```python\n{code.strip()}\n```\n"
    )


def main() -> None:
    """Write all pictures and the page."""
    intro = (
        "# Gallery\n\nEach picture is drawn from the real tape by the code below it; models that "
        "are not in `minigrad.nn` stand in [generate.py](generate.py).\n"
    )
    parts = [intro]
    for entry in ENTRIES:
        mg.manual_seed(0)
        graph = entry()
        graph.render(HERE / f"{entry.__name__}.svg")
        parts.append(page(entry, graph))
        print(f"{entry.__name__}: {graph!r}", file=sys.stderr)
    (HERE / "index.md").write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
