"""The gallery: each picture with the code that made it.

    python docs/gallery/generate.py          # writes docs/gallery/index.md and its SVG files

Needs Graphviz (`pip install "minigrad[viz]"`). An entry is a function; what stands on the page is
its own source.
"""

from __future__ import annotations

import inspect
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn, optim, viz

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


def lstm_steps() -> viz.Graph:
    """The same LSTM, three of its steps shown

    A dict for `expand` names steps: these are drawn one by one, the stretches between them stay
    folded. The weights are the same ones in all steps.
    """
    model, x, y = nn.LSTM(8, 32), numbers(20, 64, 8), numbers(64, 32, seed=1)
    output, _ = model(x)
    loss = F.mse_loss(output[-1], y)
    with viz.record(loss, expand="lstm") as seen:
        loss.backward()
    return viz.draw_graph(loss, model=model, record=seen, expand={"lstm": [3, 4, 19]})


def gru() -> viz.Graph:
    """A GRU

    Reset gate, update gate, candidate; one state runs through.
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
        self.attention = nn.AdditiveAttention(32, 32, 32)
        self.cell = nn.GRUCell(16 + 32, 32)
        self.head = nn.Linear(32, 12)

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
        self.source, self.target = nn.Embedding(12, 16), nn.Embedding(12, 16)
        self.encoder, self.decoder = nn.GRU(16, 32), Decoder()

    def forward(self, source: mg.Tensor, target: mg.Tensor) -> mg.Tensor:
        memory, state = self.encoder(self.source(source))
        return self.decoder(self.target(target), mg.permute_dims(memory, (1, 0, 2)), state[0])


def reversing(rng: np.random.Generator, batch: int) -> tuple[mg.Tensor, mg.Tensor, mg.Tensor]:
    """Nine words, and the same ones from the last to the first."""
    source = rng.integers(1, 12, (9, batch))
    target = source[::-1].copy()
    shifted = np.concatenate([np.zeros((1, batch), int), target[:-1]])
    return mg.tensor(source), mg.tensor(shifted), mg.tensor(target.reshape(-1))


def trained_translator(rng: np.random.Generator) -> Translator:
    """A translator that has learned to reverse its input, in some seconds."""
    model = Translator()
    adam = optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(250):
        source, shifted, target = reversing(rng, 32)
        adam.zero_grad()
        F.cross_entropy(model(source, shifted).reshape((-1, 12)), target).backward()
        adam.step()
    return model


def seq2seq() -> viz.Graph:
    """An encoder and a decoder with attention

    Trained to reverse its input: the map on the attention, one row per decoding step, leans from
    the last word to the first. Nine steps are one cell; modules deeper than `depth=2` are closed to
    one node each.
    """
    rng = np.random.default_rng(0)
    model = trained_translator(rng)
    model.zero_grad()
    with viz.record(model) as seen:
        source, shifted, target = reversing(rng, 3)
        loss = F.cross_entropy(model(source, shifted).reshape((-1, 12)), target)
        loss.backward()
    names = {"source": source, "target": shifted}
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
    """The second derivative of tanh

    With `create_graph=True` the backward pass is recorded like any other computation. Its lines
    stand in a box of their own, and so do those of its own backward pass.
    """
    x = numbers(3).requires_grad_()
    (first,) = mg.grad(mg.tanh(x).sum(), [x], create_graph=True)
    (second,) = mg.grad(first.sum(), [x], create_graph=True)
    return viz.draw_graph(second.sum(), params={"x": x}, title="The second derivative of tanh")


def gradient_penalty() -> viz.Graph:
    """A gradient penalty

    The loss pulls the norm of ∂y/∂x towards 1 (Gulrajani et al. 2017): what its gradient is, goes
    through the backward pass of the first network and then through its forward pass.
    """
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    x = numbers(16, 4).requires_grad_()
    (gradient,) = mg.grad(model(x).sum(), [x], create_graph=True)
    penalty = mg.square(mg.sqrt((gradient * gradient).sum(axis=1)) - 1).mean()
    with viz.record(penalty) as seen:
        penalty.backward()
    return viz.draw_graph(
        penalty, model=model, params={"x": x}, record=seen, title="(|∂y/∂x| − 1)²"
    )


def checkpointing() -> viz.Graph:
    """A checkpointed segment

    Of two equal segments, the second is one line: it keeps its inputs only, and computes the inside
    again in the backward pass. `show_saved` says how many bytes wait for backward.
    """
    w, x = numbers(64, 64).requires_grad_(), numbers(256, 64, seed=1)

    def segment(h: mg.Tensor) -> mg.Tensor:
        for _ in range(2):
            h = mg.tanh(mg.sin(h @ w))
        return h

    h = mg.checkpoint(segment, segment(x))
    return viz.draw_graph((h * h).mean(), params={"w": w, "x": x}, show_saved=True)


def tied_weights() -> viz.Graph:
    """Tied weights

    The embedding is also the output layer: one cylinder with two arrows, and its gradient is the
    sum of both.
    """
    table, ids = numbers(20, 8).requires_grad_(), classes(20, 6)
    vectors = mg.tanh(table[ids])
    loss = F.cross_entropy(vectors @ table.T, classes(20, 6))
    with viz.record(loss) as seen:
        loss.backward()
    return viz.draw_graph(loss, params={"table": table, "ids": ids}, record=seen)


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
    mlp, mlp_cards, rnn, lstm, lstm_steps, gru, bilstm, seq2seq, transformer, double_backward,
    gradient_penalty, checkpointing, tied_weights, loops_in_loops,
)  # fmt: skip


def vanishing() -> Any:
    """The vanishing gradient

    How much of ∂L/∂h reaches each of sixty steps from a loss at the last. An RNN forgets; an LSTM
    whose forget gates start open does not.
    """
    layers = {"RNN": nn.RNN(8, 32), "LSTM": nn.LSTM(8, 32), "GRU": nn.GRU(8, 32)}
    layers["LSTM, open"] = nn.LSTM(8, 32)
    with mg.no_grad():
        layers["LSTM, open"].bias_hh_l0[32:64] = 4.0
    return viz.gradient_through_time(layers, numbers(60, 8, 8))


def gates() -> Any:
    """Gates over a sentence

    What each gate of an LSTM does at each word, one row per group of units.
    """
    words = ["the", "film", "was", "not", "good", "but", "the", "music", "saved", "it"]
    return viz.gate_map(nn.LSTM(8, 32), 2 * numbers(len(words), 1, 8), words)


def spectrum() -> Any:
    """What a recurrent network remembers

    Singular values of ∂h_t/∂h_0: after one step an RNN still tells states apart, after twenty all
    of them look alike.
    """

    def last(steps: int) -> Callable[[mg.Tensor], mg.Tensor]:
        x = numbers(steps, 1, 8)
        return lambda h: layer(x, h)[0][-1]

    layer, h0 = nn.RNN(8, 32), mg.zeros((1, 1, 32))
    steps = {"1 step": 1, "5 steps": 5, "20 steps": 20}
    return viz.spectrum_plot(
        {f"after {name}": viz.jacobian_spectrum(last(n), h0) for name, n in steps.items()}
    )


def landscape() -> Any:
    """A loss landscape

    The loss of a small network on a plane through its trained weights, along two random directions
    of the weights' own scale.
    """
    model, x = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1)), numbers(64, 2)
    y = x[:, :1] * x[:, 1:]
    adam = optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(200):
        adam.zero_grad()
        F.mse_loss(model(x), y).backward()
        adam.step()
    steps, losses = viz.landscape(lambda: F.mse_loss(model(x), y), list(model.parameters()))
    return viz.landscape_plot(steps, losses)


FIGURES: tuple[Callable[[], Any], ...] = (vanishing, gates, spectrum, landscape)


def page(entry: Callable[[], Any], alt: str) -> str:
    """The Markdown of one entry."""
    heading, _, text = inspect.cleandoc(entry.__doc__ or entry.__name__).partition("\n")
    source = inspect.getsource(entry)
    body = source.split('"""', 2)[2]
    for made, name in (("viz.draw_graph", "graph"), ("viz.", "figure")):
        body = body.replace(f"    return {made}", f"    {name} = {made}")
    return (
        f"## {heading}\n\n{text.strip()}\n\n"
        f"![{heading}: {alt}]({entry.__name__}.svg)\n\n"
        f"```python\n{textwrap.dedent(body).strip()}\n```\n"
    )


def save(figure: Any, path: Path) -> None:
    """A figure as SVG, the same text on every run."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "minigrad", "svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None})


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
        parts.append(page(entry, "; ".join(graph.ir.notes)))
        print(f"{entry.__name__}: {graph!r}", file=sys.stderr)
    parts.append("# Instruments\n\nFigures for a lecture, by functions that return them.\n")
    for entry in FIGURES:
        mg.manual_seed(0)
        save(entry(), HERE / f"{entry.__name__}.svg")
        parts.append(page(entry, "a figure"))
        print(entry.__name__, file=sys.stderr)
    index = HERE / "index.md"
    index.write_text("\n".join(parts), encoding="utf-8")
    ruff = shutil.which("ruff")  # code that lost its indentation fits in fewer lines
    if ruff:
        subprocess.run([ruff, "format", "--quiet", str(index)], check=True)


if __name__ == "__main__":
    main()
