"""A notebook that draws, run by nbconvert from the first cell to the last."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbconvert")
pytest.importorskip("ipykernel")

ROOT = Path(__file__).parents[2]
CELLS = [
    """import minigrad as mg
w = mg.tensor([1.0, 2.0], requires_grad=True, name="w")
loss = (w * w).sum()
loss.backward()""",
    "mg.viz.draw_graph(loss)",
    "mg.viz.draw_graph(loss, interactive=True)",
]


def convert(folder, *arguments):
    here = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")
    home = {**dict.fromkeys(here, str(folder)), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "nbconvert", *arguments],
        cwd=folder, env=os.environ | home, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """What each cell displayed, by type of content."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    nbformat.write(notebook, folder / "graph.ipynb")
    done = convert(
        folder, "--to", "notebook", "--execute", "--output", "run.ipynb",
        "--ExecutePreprocessor.timeout=120", "graph.ipynb",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    run = nbformat.read(folder / "run.ipynb", as_version=4)
    return [[out.get("data", {}) for out in cell.outputs] for cell in run.cells], folder


def test_a_graph_shows_itself(outputs):
    (shown,) = outputs[0][1]
    assert "2 tape lines" in shown["text/plain"]
    from minigrad.viz.render import find_engine

    if find_engine("auto") is None:
        assert "sandbox=" in shown["text/html"]
    else:
        assert shown["image/svg+xml"].lstrip().startswith(("<?xml", "<svg"))
        assert "text/html" not in shown


def test_interactive_is_a_frame_of_its_own(outputs):
    (shown,) = outputs[0][2]
    assert 'sandbox="allow-scripts' in shown["text/html"]
    assert "allow-same-origin" not in shown["text/html"]


def test_the_notebook_as_a_page(outputs, opened):
    folder = outputs[1]
    done = convert(folder, "--to", "html", "--template", "basic", "run.ipynb")
    assert done.returncode == 0, done.stderr[-2000:]
    body = (folder / "run.html").read_text(encoding="utf-8")
    page = opened(f"<!doctype html><title>run</title><body data-drawn=1>{body}")
    frame = page.frame_locator("iframe")
    frame.locator("body[data-drawn]").wait_for(timeout=30_000)
    assert frame.locator("#graph g.node").count() == 4
