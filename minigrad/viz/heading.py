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
    cells = []
    both = show.grads and show.direction == "both" and any(e.grad for e in ir.links)
    if both:
        cells.append(f"<TD>{font('forward →', 10, look.muted, bold=True)}</TD>")
        cells.append(f"<TD>{font('  ← gradient', 10, look.gradient_text, bold=True)}</TD>")
    every = [item.facts for item in ir.items.values()]
    if show.values and any("heat" in f or "values" in f for f in every):
        cells.append(f"<TD>{font('    value  min ', 10, look.muted)}</TD>")
        cells.append(f"<TD>{scale_cells(CIVIDIS, look)}</TD>")
        cells.append(f"<TD>{font(' max', 10, look.muted)}</TD>")
    ends = next((f["grad_scale"] for f in every if "grad_scale" in f), None)
    if show.grads and ends:
        low, high = number(ends[0], 2), number(ends[1], 2)
        cells.append(f"<TD>{font(f'    ‖gradient‖  {low} ', 10, look.muted)}</TD>")
        cells.append(f"<TD>{scale_cells(VERMILION, look)}</TD>")
        tail = f" {high}  (log, one scale for the whole graph)"
        cells.append(f"<TD>{font(tail, 10, look.muted)}</TD>")
    if ir.banner and show.grads:
        cells.append(f"<TD>{font('    ' + ir.banner, 10, look.gradient_text)}</TD>")
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
