"""The pictures of the README and of the pages about the engine.

    python docs/images/generate.py        # writes the SVG files beside this file

Needs Graphviz (`pip install "minigrad[viz]"`).
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

import minigrad as mg
from minigrad import viz

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


def tour() -> viz.Graph:
    """The tagger of the README's tour, by the README's own code."""
    text = (HERE.parents[1] / "README.md").read_text(encoding="utf-8")
    code = text.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    mg.manual_seed(0)
    with contextlib.chdir(tempfile.mkdtemp()):  # it writes files
        exec(code, names)  # noqa: S102
    return names["graph"]


def main() -> None:
    for draw in (tape, tour):
        draw().render(HERE / f"{draw.__name__}.svg")


if __name__ == "__main__":
    main()
