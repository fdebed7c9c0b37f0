"""Layout engines: the system's `dot`, else the Graphviz inside pygraphviz, else one clear error.

Both run in a child process with a time limit and without a shell.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
from functools import cache

from ..errors import ConfigError, MinigradError, MissingExtraError

ENGINES = ("auto", "dot", "pygraphviz")
FORMATS = ("svg", "png", "pdf", "ps", "eps", "json", "plain")
LIMIT = 20.0  # seconds

_CHILD = """
import sys, pygraphviz
graph = pygraphviz.AGraph(string=sys.stdin.buffer.read().decode("utf-8"))
sys.stdout.buffer.write(graph.draw(format=sys.argv[1], prog="dot"))
"""


class LayoutTimeoutError(MinigradError):
    """The layout engine did not finish in time; draw coarser."""


def find_engine(engine: str = "auto") -> str | None:
    """Which engine there is, "dot" before "pygraphviz"; None where there is neither."""
    if engine not in ENGINES:
        raise ConfigError(f"engine: {engine!r} is not one of {', '.join(ENGINES)}")
    if engine in ("auto", "dot") and shutil.which("dot"):
        return "dot"
    if engine in ("auto", "pygraphviz") and _has_pygraphviz():
        return "pygraphviz"
    return None


@cache
def _has_pygraphviz() -> bool:
    return importlib.util.find_spec("pygraphviz") is not None


def layout(
    source: str, format: str, *, engine: str = "auto", dpi: int | None = None, limit: float = LIMIT
) -> bytes:
    """The picture of a DOT text.

    Raises:
        ConfigError: an unknown format or engine.
        MissingExtraError: no engine is installed.
        LayoutTimeoutError: it took longer than `limit` seconds.
    """
    if format not in FORMATS:
        raise ConfigError(f"render: format {format!r} is not one of {', '.join(FORMATS)}")
    found = find_engine(engine)
    if found is None:
        raise MissingExtraError(
            "render: no Graphviz was found, neither the program `dot` nor pygraphviz: "
            'pip install "minigrad[viz]"  (the DOT text in Graph.source, .to_mermaid(), .to_json() '
            "and .summary() work without it)",
            name="pygraphviz",
        )
    if format != "png":
        dpi = None  # what is drawn in lines has none, and dot would scale it past its frame
    if found == "dot":
        command = [shutil.which("dot") or "dot", f"-T{format}"]
        if dpi:
            command.append(f"-Gdpi={dpi}")
    else:
        if dpi:
            source = source.replace("graph [", f"graph [dpi={int(dpi)} ", 1)
        command = [sys.executable, "-c", _CHILD, format]
    try:
        done = subprocess.run(
            command, input=source.encode("utf-8"), capture_output=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        raise LayoutTimeoutError(
            f"render: {found} needed more than {limit:g} s; draw with a smaller depth or "
            "max_nodes, or with fold=True"
        ) from None
    if done.returncode or not done.stdout:
        words = done.stderr.decode("utf-8", "replace").strip()[-400:]
        raise MinigradError(f"render: {found} failed: {words or 'no output'}")
    return done.stdout


_IDS = re.compile(r'(?<=\s)id="([^"]+)"')
_SIZE = re.compile(r'<svg width="([\d.]+)pt" height="([\d.]+)pt"')
_GRAPH_TITLE = re.compile(r"<title>minigrad</title>")
_NODE_TITLE = re.compile(r"<title>[^<]*</title>\n?")


def finish_svg(svg: str, *, title: str, description: str) -> str:
    """Make dot's SVG fit for a page: ids of its own, a width that adapts, words for readers.

    `title` and `description` must be escaped already.
    """
    prefix = "mg" + hashlib.sha256(svg.encode()).hexdigest()[:8]
    start = svg.find("<svg")
    svg = svg[start:] if start >= 0 else svg
    svg = _IDS.sub(lambda m: f'id="{prefix}-{m.group(1)}"', svg)
    svg = re.sub(r'(href="#|url\(#)', lambda m: f"{m.group(1)}{prefix}-", svg)
    svg = _GRAPH_TITLE.sub("", svg, count=1)
    svg = _NODE_TITLE.sub("", svg)
    about = f"<title>{title}</title>\n<desc>{description}</desc>\n"
    end = svg.find(">", svg.find("<svg")) + 1
    svg = svg[:end] + "\n" + about + svg[end:]
    return _SIZE.sub(
        lambda m: (
            f'<svg role="img" width="{m.group(1)}pt" height="{m.group(2)}pt" '
            'style="max-width:100%;height:auto"'
        ),
        svg,
        count=1,
    )
