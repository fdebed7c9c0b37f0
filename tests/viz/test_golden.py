"""DOT and Mermaid of known computations, to the letter (tooltips quote docstrings: left out).

After a change that is meant: MINIGRAD_GOLDEN=write pytest tests/viz/test_golden.py, and look at the
difference before committing it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from minigrad import viz
from tests.viz import nets

GOLDEN = Path(__file__).parent / "golden"
CASES = {
    "mlp": nets.mlp,
    "shared_weights": nets.shared,
    "diamond": nets.diamond,
    "double_backward": nets.double_backward,
    "lstm": nets.lstm,
    "bilstm": nets.bilstm,
    "attention": nets.attention,
    "conv": nets.conv,
}
_TOOLTIP = re.compile(r' tooltip="(?:[^"\\]|\\.)*"')


@pytest.mark.parametrize("name", CASES)
def test_text_is_the_golden_text(name):
    output, params = CASES[name]()
    graph = viz.draw_graph(output, params=params, title=name)
    texts = {"dot": _TOOLTIP.sub("", graph.source), "mmd": graph.to_mermaid()}
    for suffix, text in texts.items():
        path = GOLDEN / f"{name}.{suffix}"
        if os.environ.get("MINIGRAD_GOLDEN") == "write":
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CASES)
def test_drawing_twice_gives_the_same_text(name):
    first, params = CASES[name]()
    second, again = CASES[name]()
    a = viz.draw_graph(first, params=params)
    b = viz.draw_graph(second, params=again)
    assert a.source == b.source
    assert a.to_json() == b.to_json()
