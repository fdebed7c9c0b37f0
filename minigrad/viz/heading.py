"""The heading of a picture: title, what was folded, and a legend of what is there."""

from __future__ import annotations

from .ir import GraphIR
from .labels import Show, font, scale_cells, table
from .style import CIVIDIS, VERMILION, Theme, number


def heading(ir: GraphIR, look: Theme, show: Show) -> str:
    """The label of the whole graph; empty if there is nothing to say."""
    rows = []
    if ir.title:
        rows.append(f'<TD ALIGN="LEFT">{font(ir.title, 17, look.ink, bold=True)}</TD>')
    rows += [f'<TD ALIGN="LEFT">{font(n, 11, look.muted)}</TD>' for n in _wrapped(ir.notes)]
    legend = _legend(ir, look, show)
    if legend:
        rows.append(f'<TD ALIGN="LEFT">{legend}</TD>')
    if not rows:
        return ""
    rows.append("<TD> </TD>")
    return table(rows, spacing=0, padding=2)


def _legend(ir: GraphIR, look: Theme, show: Show) -> str:
    cells: list[str] = []

    def part(*found: str) -> None:
        gap = '<TD WIDTH="14"></TD>' if cells else ""
        cells.append(gap + "".join(f"<TD>{cell}</TD>" for cell in found))

    if show.grads and show.direction == "both" and any(e.grad for e in ir.links):
        part(font("forward →", 10, look.muted, bold=True))
        part(font("← gradient", 10, look.gradient_text, bold=True))
    every = [item.facts for item in ir.items.values()]
    if show.values and any("maps" in f for f in every):
        part(font("attention: 0", 10, look.muted), scale_cells(CIVIDIS, look),
             font("most of the map  (rows: queries, columns: keys)", 10, look.muted))  # fmt: skip
    if show.values and any("heat" in f or "values" in f for f in every):
        ramp = scale_cells(CIVIDIS, look)
        part(font("value: min", 10, look.muted), ramp, font("max", 10, look.muted))
    ends = next((f["grad_scale"] for f in every if "grad_scale" in f), None)
    if show.grads and ends:
        low, high = number(ends[0], 2), number(ends[1], 2)
        above = any(f.get("grad", 0.0) > 1.001 * ends[1] for f in every)
        tail = f"{high}{' and above' * above} (log, one scale for the whole graph)"
        part(
            font(f"|gradient|: {low}", 10, look.muted),
            scale_cells(VERMILION, look),
            font(tail, 10, look.muted),
        )
    for before, scale, after in ir.key:
        texts = [font(text, 10, look.muted) if text else "" for text in (before, after)]
        part(*(c for c in (texts[0], scale_cells(scale, look), texts[1]) if c))
    if ir.banner and show.grads:
        part(font(ir.banner, 10, look.gradient_text))
    if not cells:
        return ""
    return (
        '<TABLE ALIGN="LEFT" BORDER="0" CELLBORDER="0" CELLSPACING="3" CELLPADDING="0">'
        f"<TR>{''.join(cells)}</TR></TABLE>"
    )


def _wrapped(notes: list[str], width: int = 76) -> list[str]:
    """Notes in lines that are about as wide as the legend."""
    out: list[str] = []
    for note in notes:
        if out and len(out[-1]) + len(note) < width:
            out[-1] += f"  ·  {note}"
        else:
            out.append(note)
    return out
