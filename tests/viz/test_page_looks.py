"""How a page looks: its screenshot, in coarse grey, against one that was looked at.

After a change that is meant: MINIGRAD_GOLDEN=write pytest tests/viz/test_page_looks.py, and look at
the page before committing it. The picture is laid out by the Graphviz of the page, whose version is
pinned, so that only fonts differ between machines: a cell is the mean of 20 × 20 pixels.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from minigrad.viz import render

from . import models

GOLDEN = Path(__file__).parent / "golden"
CELL = 20
GREYS = "0123456789abcdef"
VIEWS = {
    "start": "",
    "stepping": "minigrad.stepper.go(40)",
    "gradient": "minigrad.colours.choose('grad')",
}


def grey(page):
    """The screenshot as rows of hexadecimal digits, 0 black and f white."""
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setEmulatedVisionDeficiency", {"type": "deuteranopia"})
    clip = page.locator("#canvas").bounding_box() | {"scale": 1}
    shot = session.send("Page.captureScreenshot", {"clip": clip})["data"]
    other = page.context.new_page()
    values = other.evaluate(
        """async ([data, cell]) => {
            const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
            const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
            const [w, h] = [Math.floor(image.width / cell), Math.floor(image.height / cell)];
            const canvas = new OffscreenCanvas(image.width, image.height);
            const pen = canvas.getContext("2d");
            pen.drawImage(image, 0, 0);
            const all = pen.getImageData(0, 0, image.width, image.height).data;
            const sums = Array.from({ length: h }, () => new Array(w).fill(0));
            for (let y = 0; y < h * cell; y += 1) for (let x = 0; x < w * cell; x += 1) {
                const at = 4 * (y * image.width + x);
                sums[Math.floor(y / cell)][Math.floor(x / cell)] +=
                    (0.2126 * all[at] + 0.7152 * all[at + 1] + 0.0722 * all[at + 2]) / cell / cell;
            }
            return sums;
        }""",
        [shot, CELL],
    )
    other.close()
    return ["".join(GREYS[min(15, round(v / 17))] for v in row) for row in values]


def numbers(rows):
    return np.array([[GREYS.index(c) for c in row] for row in rows], dtype=float)


def alike(found, expected):
    """Where either shows more than paper, they differ by less than half a grey on the average."""
    paper = np.bincount(expected.astype(int).ravel()).argmax()
    ink = (found != paper) | (expected != paper)
    off = np.abs(found - expected)[ink]
    return off.mean() < 0.45 and (off > 4).mean() < 0.03


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_the_page_looks_as_it_did(opened, monkeypatch, view, scheme):
    monkeypatch.setattr(render.shutil, "which", lambda name: None)
    monkeypatch.setattr(render, "_has_pygraphviz", lambda: False)
    page = opened(models.lstm20().to_html(), color_scheme=scheme, reduced_motion="reduce")
    if VIEWS[view]:
        page.evaluate(VIEWS[view])
    found = grey(page)
    file = GOLDEN / f"page_{view}_{scheme}.txt"
    if os.environ.get("MINIGRAD_GOLDEN") == "write":
        file.write_text("\n".join(found) + "\n", encoding="utf-8")
    expected = numbers(file.read_text(encoding="utf-8").split())
    assert alike(numbers(found), expected), "look at the page, then MINIGRAD_GOLDEN=write pytest"


def test_the_tolerance_sees_what_moved():
    for view in VIEWS:
        drawn = numbers((GOLDEN / f"page_{view}_light.txt").read_text(encoding="utf-8").split())
        assert alike(drawn, drawn)
        assert not alike(drawn, np.roll(drawn, 1, axis=0))
        assert not alike(drawn, np.roll(drawn, 1, axis=1))
        assert not alike(drawn, np.full_like(drawn, 15))
