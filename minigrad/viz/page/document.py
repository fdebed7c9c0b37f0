"""One HTML file: the picture, a table, the data, the script, and a policy against the rest.

Nothing is loaded: no network, no fonts, no cookies. Text that users wrote enters through
`escape.markup` and, as JSON, through `escape.to_json`; the script sets it as `textContent` only.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ...errors import MinigradError
from ..escape import markup, to_json
from ..ir import GraphIR
from ..labels import Show
from ..render import find_engine, layout
from ..style import CIVIDIS, VERMILION, number
from .data import page_data
from .details import Details
from .panels import Panel
from .theme import stylesheet
from .view import compose

ASSETS = Path(__file__).parent / "assets"
LIMIT = 20.0  # seconds for the first layout here; after that the page lays out itself
Key = list[tuple[str, tuple[str, ...], str]]
SIGNS = {  # the shapes of the kinds, in the legend
    "parameter": "M3 3.5c0-3.2 14-3.2 14 0v6c0 3.2-14 3.2-14 0zc0 2.6 14 2.6 14 0",
    "input": "M5.5 1.5h13l-4 10h-13z",
    "state": "M2 1.5h11l5 5-5 5H2z",
    "gate": "M4.5 1.5h11q3 0 3 3v4q0 3-3 3h-11q-3 0-3-3v-4q0-3 3-3z",
    "loss": "M5.5 1.5h9l4 5-4 5h-9l-4-5z",
}
_TITLED = re.compile(r'<g id="[^"]*" class="(node|edge|cluster)">\s*<title>([^<]*)</title>')
_ROOT = re.compile(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>\s*(<g id="[^"]*" class="graph"[^>]*>)')
_CELL = re.compile(
    r'<polygon fill="(#[0-9a-f]{6})" stroke="(?:none|transparent)" points="'
    r'([-\d.]+),([-\d.]+) \2,([-\d.]+) ([-\d.]+),\4 \5,\3 \2,\3"/>'
)
_COMMENT = re.compile(r"<!--.*?-->\s*", re.DOTALL)


def html_page(
    ir: GraphIR,
    details: Details | None,
    show: Show,
    *,
    engine: str = "auto",
    theme: str = "light",
    interactive: bool = True,
    panels: Sequence[Panel] = (),
) -> str:
    """The page of a drawn graph.

    Args:
        ir: the graph as drawn.
        details: what it can be opened into, and its backward pass.
        show: what the picture shows.
        engine: lays out the picture that is there before any script runs; where there is none,
            the page does it with the Graphviz it carries.
        theme: "dark" fixes the theme; "light" follows the reader's.
        interactive: False: picture and table, without a script.
        panels: figures beside the graph.
    """
    details = details if interactive else None
    page = page_data(ir, details, show)
    painted = details is None and any("shade" in item.facts for item in ir.items.values())
    fixed = theme if painted or theme == "dark" else ""  # painted in the colours of one theme
    picture = _picture(compose(page.data), engine)
    style = stylesheet() + "\n" + _asset("page.css")
    script = _asset("page.js") if interactive else ""
    policy = {
        "default-src": "'none'",
        "style-src": _digest(style),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    if interactive:
        policy["script-src"] = f"{_digest(script)} 'wasm-unsafe-eval'"
        policy["worker-src"] = "blob:"
    content = "; ".join(f"{k} {v}" for k, v in policy.items())
    title = page.data["title"]
    parts = [
        "<!doctype html>",
        f'<html lang="en"{f" data-theme={fixed}" if fixed else ""}>',
        '<head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{content}">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>{markup(title)}</title>",
        f"<style>{style}</style></head>",
        f'<body class="{"live" if interactive else "still"}">',
        _header(page.data, ir.key if painted else []),
        _main(page.data, picture),
    ]
    if panels and not interactive:
        parts.append(f'<div id="panels">{"".join(panel.still() for panel in panels)}</div>')
    if interactive:
        data = page.data | page.tape | {"panels": [panel.to_dict() for panel in panels]}
        parts += [
            f"<!-- {_asset('NOTICE.txt').strip()} -->",
            f'<script type="text/plain" id="data">{_packed(data)}</script>',
            f'<script type="text/plain" id="viz">{_engine()}</script>',
            f'<script type="module">{script}</script>',
        ]
    return "\n".join([*parts, "</body></html>\n"])


def frame(page: str, height: int = 640) -> str:
    """A page inside a notebook: a frame of its own, which sees nothing of the notebook."""
    return (
        f'<iframe title="computation graph" width="100%" height="{height}" '
        'sandbox="allow-scripts allow-downloads" style="border:1px solid #CBD5E1;'
        f'border-radius:8px" srcdoc="{html.escape(page, quote=True)}"></iframe>'
    )


# -- parts ---------------------------------------------------------------------------------------


def _picture(source: str, engine: str) -> str:
    """The SVG that is there before the script; empty where no engine can draw it."""
    if find_engine(engine) is None:
        return ""
    try:
        svg = layout(source, "svg", engine=engine, limit=LIMIT).decode("utf-8")
    except MinigradError:
        return ""
    svg = _COMMENT.sub("", svg[svg.find("<svg") :])
    svg = _TITLED.sub(r'<g class="\1" data-name="\2">', svg)
    svg = re.sub(r"<title>[^<]*</title>\n?", "", svg, count=1)
    svg = _CELL.sub(_cell, svg)
    return _ROOT.sub(
        r'<svg id="graph" xmlns="http://www.w3.org/2000/svg" '
        r'role="img" aria-labelledby="title" aria-describedby="notes" viewBox="\1">\2',
        svg,
        count=1,
    ).replace(' xml:space="preserve"', "")


def _cell(found: re.Match[str]) -> str:
    """A cell of a strip in half the letters; there are thousands."""
    fill, left, low, high, right = found.groups()
    x, y, width, height = (
        f"{n:.2f}".rstrip("0").rstrip(".")
        for n in (
            float(left), float(high), float(right) - float(left), float(low) - float(high)
        )
    )  # fmt: skip
    return f'<path fill="{fill}" d="M{x} {y}h{width}v{height}h-{width}z"/>'


def _header(data: Mapping[str, Any], key: Key) -> str:
    notes = " · ".join(markup(n, 300) for n in data["notes"])
    banner = f'<p class="banner">{markup(data["banner"])}</p>' if data["banner"] else ""
    return (
        f'<header><div class="words"><h1 id="title">{markup(data["title"])}</h1>'
        f'<p id="notes">{notes}</p>{banner}</div>{_legend(data, key)}'
        '<div id="tools" role="toolbar" aria-label="View"></div></header>'
    )


def _legend(data: Mapping[str, Any], painted: Key) -> str:
    """What kinds and colours mean; `painted` explains fills that are part of the picture."""
    kinds = {node["kind"] for node in data["nodes"]}
    key = "".join(
        f'<span><svg class="kind-sign {kind}" width="20" height="13" aria-hidden="true">'
        f'<path d="{sign}"/></svg> {kind}</span>'
        for kind, sign in SIGNS.items()
        if kind in kinds
    )
    for before, scale, after in painted:
        key += f"<span>{markup(before)} {_ramp(scale)} {markup(after)}</span>"
    words = '<span class="forward">forward →</span><span class="gradient">← gradient</span>'
    scales = ""
    if data["scale"]:
        low, high = data["scale"]
        scales = (
            f"<span>value min {_ramp(CIVIDIS)} max</span>"
            f"<span>|gradient| {low} {_ramp(VERMILION)} {high} (log)</span>"
        )
    return f'<p class="legend"><span id="key">{key}</span>{words}{scales}</p>'


def _ramp(colours: tuple[str, ...]) -> str:
    cells = "".join(
        f'<rect x="{9 * i}" width="9.5" height="10" fill="{c}"/>' for i, c in enumerate(colours)
    )
    width = 9 * len(colours)
    return f'<svg class="ramp" width="{width}" height="10" aria-hidden="true">{cells}</svg>'


def _main(data: Mapping[str, Any], picture: str) -> str:
    return (
        '<main><div id="room"><section id="stage" aria-labelledby="title">'
        f'<div id="canvas">{picture}</div><p id="status" role="status"></p></section>'
        f'<aside id="side" aria-label="Details"></aside>{_table(data)}</div></main>'
        '<section id="stepper" aria-label="Backward pass, step by step"></section>'
    )


def _table(data: Mapping[str, Any]) -> str:
    """Every node of the picture as a row, for readers that do not see it."""
    names = [node["title"] for node in data["nodes"]]
    sources: list[list[str]] = [[] for _ in names]
    inside = [_composite(data["boxes"], node["box"]) for node in data["nodes"]]
    for src, dst, *_ in data["edges"]:
        if inside[src] >= 0 and inside[src] != inside[dst]:
            continue  # the fused op says it
        if names[src] not in sources[dst]:
            sources[dst].append(names[src])
    rows = []
    for node, into in zip(data["nodes"], sources, strict=True):
        shapes = "  ".join(shape for shape, _ in node.get("shapes", ()))
        gradient = node.get("facts", {}).get("grad", "")
        gradient = number(gradient) if isinstance(gradient, float) else gradient
        box = data["boxes"][node["box"]]["title"] if node["box"] >= 0 else ""
        cells = [
            node["kind"], node.get("op", ""), shapes, ", ".join(into), box,
            len(node["lines"]) or "", gradient,
        ]  # fmt: skip
        rows.append(
            f'<tr><th scope="row">{markup(node["title"])}</th>'
            + "".join(f"<td>{markup(cell)}</td>" for cell in cells)
            + "</tr>"
        )
    head = "".join(
        f'<th scope="col">{h}</th>'
        for h in ("node", "kind", "op", "shape", "reads", "inside", "tape lines", "|gradient|")
    )
    return (
        '<section id="table" aria-label="The graph as a table"><h2>The graph as a table</h2>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="Nodes"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _composite(boxes: Sequence[Mapping[str, Any]], box: int) -> int:
    """The box of the composite around, or -1."""
    while box >= 0 and "face" not in boxes[box]:
        box = boxes[box]["parent"]
    return box


@cache
def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _packed(data: Mapping[str, Any]) -> str:
    """JSON, compressed: it says the same things over and over."""
    text = to_json(data, indent=None).encode("ascii")
    return base64.b64encode(gzip.compress(text, mtime=0)).decode("ascii")


@cache
def _engine() -> str:
    return base64.b64encode((ASSETS / "viz.js.gz").read_bytes()).decode("ascii")


def _digest(text: str) -> str:
    found = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(found).decode('ascii')}'"
