"""`Graph`: a finished picture. It holds text and plain data, nothing of the computation."""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError, MinigradError
from .dot import to_dot
from .escape import clean, markup, to_json
from .ir import GraphIR, shape_text
from .labels import Show, title_of
from .mermaid import to_mermaid
from .page import Details, Panel
from .render import FORMATS, LIMIT, LayoutTimeoutError, find_engine, finish_svg, layout
from .style import Theme
from .tikz import to_tikz

TEXTS = ("dot", "gv", "json", "mmd", "mermaid", "html", "htm")
LATEX = ("tex", "tikz")


class Graph:
    """A drawn graph: shows itself in Jupyter, writes itself to files.

    Attributes:
        ir: the neutral graph; `to_json()` is its text.
        source: the DOT text. It needs no Graphviz.
        engine: "auto", "dot" or "pygraphviz".
        interactive: notebooks show the page of `to_html()` instead of the SVG.
    """

    def __init__(
        self,
        ir: GraphIR,
        look: Theme,
        show: Show,
        *,
        engine: str = "auto",
        coarser: Callable[[], GraphIR | None] | None = None,
        details: Details | None = None,
        interactive: bool = False,
    ) -> None:
        find_engine(engine)  # an unknown name is an error now, not at the first picture
        self.ir, self.theme, self.show, self.engine = ir, look, show, engine
        self.source = to_dot(ir, look, show)
        self._coarser = coarser
        self.details, self.interactive = details, interactive

    def redraw(self) -> None:
        """Write `source` again, after a change of `ir`."""
        self.source = to_dot(self.ir, self.theme, self.show)

    # -- text -------------------------------------------------------------------------------------

    def to_json(self) -> str:
        """The neutral graph: nodes, edges, boxes; safe to place in a `<script>`."""
        return to_json(self.ir.to_dict()) + "\n"

    def to_mermaid(self) -> str:
        """Mermaid, for a README. Colour strips and gradients stay behind.

        Raises:
            ConfigError: too large for Mermaid.
        """
        return to_mermaid(self.ir, self.theme, self.show.rankdir)

    def to_tikz(self) -> str:
        r"""A `tikzpicture` for LaTeX: `\input` it, or `.render("graph.tex")` a whole document.

        Needs a layout engine. Nodes keep their names, for arrows of your own; texts are LaTeX.

        Raises:
            MissingExtraError: no Graphviz is installed.
        """
        return self.pipe("tikz").decode("utf-8")

    def summary(self) -> str:
        """What the tape holds, in words and columns; for graphs of any size."""
        return summary(self.ir)

    def __repr__(self) -> str:
        boxes = sum(1 for _ in self.ir.shown_boxes())
        return (
            f"<Graph: {self.ir.lines:,} tape lines as {len(self.ir.items):,} nodes, "
            f"{len(self.ir.links):,} edges, {boxes} boxes>"
        )

    # -- pictures --------------------------------------------------------------------------------

    def pipe(self, format: str = "svg", *, dpi: int | None = None, limit: float = LIMIT) -> bytes:
        """The picture as bytes: "svg", "png", "pdf", "ps", "eps", or a text: "dot", "json", "mmd".

        "html" is the page of `to_html()`, "tex" a LaTeX document, "tikz" the picture in it. If the
        layout takes longer than `limit` seconds, a coarser graph is laid out instead, and its title
        says so.

        Raises:
            MissingExtraError: a picture was asked for and no Graphviz is installed; it names the
                pip command.
        """
        if format in TEXTS:
            return self._text(format).encode("utf-8")
        kind = "json" if format in LATEX else format
        if kind not in FORMATS:
            known = ", ".join(dict.fromkeys((*FORMATS, *TEXTS, *LATEX)))
            raise ConfigError(f"render: format {format!r} is not one of {known}")
        try:
            data = layout(self.source, kind, engine=self.engine, dpi=dpi, limit=limit)
        except LayoutTimeoutError:
            ir = self._coarser() if self._coarser is not None else None
            if ir is None:
                raise
            ir.notes.append(f"coarser than asked: the full layout took more than {limit:g} s")
            source = to_dot(ir, self.theme, self.show)
            data = layout(source, kind, engine=self.engine, dpi=dpi, limit=limit)
        if format in LATEX:
            text = to_tikz(data, self.theme, title=self.ir.title, whole=format == "tex")
            return text.encode("utf-8")
        if format != "svg":
            return data
        title = markup(self.ir.title or "computation graph")
        description = markup("; ".join(self.ir.notes), 1000)
        svg = finish_svg(data.decode("utf-8"), title=title, description=description)
        return svg.encode("utf-8")

    def render(
        self, path: str | Path, format: str | None = None, *, dpi: int | None = None
    ) -> Path:
        """Write a picture or a text; the suffix says which: `graph.render("lstm.svg")`.

        Returns the path. Nothing is left behind if it fails. A PNG has 144 dots per inch unless
        told otherwise.
        """
        path = Path(path)
        kind = format or path.suffix.lstrip(".").lower()
        if not kind:
            raise ConfigError(
                f"render: {clean(path)} has no suffix; give one, such as .svg or .png, or format="
            )
        if format and path.suffix.lstrip(".").lower() != format:
            path = path.with_name(f"{path.name}.{format}")
        data = self.pipe(kind, dpi=dpi or (144 if kind == "png" else None))
        part = path.with_name(f".{path.name}.part")
        try:
            part.write_bytes(data)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return path

    def save(self, path: str | Path) -> Path:
        """Write the DOT text (or JSON, Mermaid, a page: .json, .mmd, .html); needs no Graphviz.

        Raises:
            ConfigError: the suffix is that of a picture, which `render` draws.
        """
        path = Path(path)
        kind = path.suffix.lstrip(".").lower()
        if kind not in TEXTS and kind in (*FORMATS, *LATEX):
            raise ConfigError(f"save: writes texts; {clean(path.name)} is for render()")
        path.write_text(self._text(kind if kind in TEXTS else "dot"), encoding="utf-8")
        return path

    def view(self, format: str = "svg") -> Path:
        """Render into a temporary file and open it in the system's viewer; returns the path."""
        folder = Path(tempfile.mkdtemp(prefix="minigrad-"))
        path = self.render(folder / f"graph.{format}")
        import graphviz

        with contextlib.suppress(RuntimeError):  # no viewer here: the path is the answer
            graphviz.view(str(path), quiet=True)
        return path

    def to_html(
        self,
        path: str | Path | None = None,
        *,
        panels: Sequence[Panel] = (),
        interactive: bool = True,
    ) -> str:
        """One HTML file that needs no network: zoom, open and close, step through backward.

        Returns the text, and writes it to `path` if given. `panels` are figures beside the graph,
        each on a tab of its own. With `interactive=False` the page holds the picture and tables,
        and no script.
        """
        from .page.document import html_page

        text = html_page(
            self.ir, self.details, self.show, engine=self.engine, theme=self.theme.name,
            interactive=interactive, panels=panels,
        )  # fmt: skip
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def _text(self, kind: str) -> str:
        if kind in ("html", "htm"):
            return self.to_html()
        if kind == "json":
            return self.to_json()
        return self.to_mermaid() if kind in ("mmd", "mermaid") else self.source

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """For Jupyter: the SVG where an engine is installed, else the page; words always."""
        bundle = {"text/plain": self.summary()}
        drawn = find_engine(self.engine) is not None
        if self.interactive or not drawn:
            from .page.document import frame

            bundle["text/html"] = frame(self.to_html())
        if drawn:
            try:
                bundle["image/svg+xml"] = self.pipe("svg").decode("utf-8")
            except MinigradError as error:
                bundle["text/plain"] += f"\n{error}\n"
        if include:
            bundle = {k: v for k, v in bundle.items() if k in include}
        return {k: v for k, v in bundle.items() if k not in (exclude or ())}


def summary(ir: GraphIR) -> str:
    """A graph in words: how many lines, which ops, what repeats, which parameters."""
    out = [clean(ir.title) if ir.title else "computation graph"]
    size = f"{len(ir.items):,} nodes, {len(ir.links):,} edges"
    out.append(f"  {ir.lines:,} tape lines, shown as {size}")
    out += [
        f"  {clean(note, 300)}" for note in ir.notes if not note.startswith(f"{ir.lines:,} tape")
    ]
    if ir.banner:
        out.append(f"  {clean(ir.banner)}")
    for path in ir.shown_boxes():
        box = ir.boxes.get(path)
        if box is not None and box.count > 1:
            unit = "" if box.kind == "repeats" else f" {box.kind}"
            out.append(f"  ×{box.count:,}{unit}: {clean(box.detail)}")
    ops: Counter[str] = Counter()
    for item in ir.items.values():
        if item.kind == "module":
            ops[f"[{clean(item.name, 30)}]"] += len(item.lines)
        elif item.lines and item.kind != "overview":
            ops[item.op] += len(item.lines)
    rows = [f"  {op:<24} {n:>9,}" for op, n in ops.most_common(20)]
    if rows:
        out += ["", "  op                           lines", *rows]
        if len(ops) > 20:
            out.append(f"  and {len(ops) - 20} other ops")
    parameters = [i for i in ir.items.values() if i.kind == "parameter" and "~" not in i.id]
    if parameters:
        out += ["", "  parameter"]
    for item in parameters[:40]:
        shapes = " ".join(shape_text(shape) for shape, _ in item.specs)
        grad = f"  |grad| {item.facts['grad']:.3g}" if "grad" in item.facts else ""
        out.append(f"  {clean(item.name or title_of(item)):<32} {shapes}{grad}")
    if len(parameters) > 40:
        out.append(f"  and {len(parameters) - 40} other parameters")
    return "\n".join(out) + "\n"
