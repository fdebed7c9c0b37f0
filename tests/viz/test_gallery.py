"""The gallery's code runs, and its page and pictures are there."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import minigrad as mg
from minigrad import viz

HERE = Path(__file__).parents[2] / "docs" / "gallery"
if not HERE.exists():
    pytest.skip("the documentation is not here", allow_module_level=True)
_spec = importlib.util.spec_from_file_location("gallery", HERE / "generate.py")
gallery = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(gallery)
SLOW = {"loops_in_loops", "seq2seq"}


@pytest.mark.parametrize("name", [e.__name__ for e in gallery.ENTRIES if e.__name__ not in SLOW])
def test_an_entry_draws_and_shows_its_code(name):
    mg.manual_seed(0)
    entry = getattr(gallery, name)
    graph = entry()
    assert isinstance(graph, viz.Graph)
    text = gallery.page(entry, "a graph")
    assert "graph = viz.draw_graph(" in text
    assert '"""' not in text


@pytest.mark.parametrize("name", [e.__name__ for e in gallery.FIGURES])
def test_an_instrument_draws_and_shows_its_code(name, tmp_path):
    pytest.importorskip("matplotlib")
    mg.manual_seed(0)
    entry = getattr(gallery, name)
    gallery.save(entry(), tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").read_text(encoding="utf-8").count("<svg") == 1
    text = gallery.page(entry, "a figure")
    assert "figure = viz." in text
    assert "return viz." not in text


def test_page_and_pictures_are_there():
    page = (HERE / "index.md").read_text(encoding="utf-8")
    for entry in (*gallery.ENTRIES, *gallery.FIGURES):
        assert f"({entry.__name__}.svg)" in page
        assert (HERE / f"{entry.__name__}.svg").read_text(encoding="utf-8")[:300].count("<svg") == 1
