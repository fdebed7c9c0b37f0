"""Pictures of the tape: `draw_graph(loss)`, heat maps, attention, curves.

A neutral graph is made from the tape (`tape`, `build`), made smaller (`fold`, `group`, `overview`),
and written (`dot`, `mermaid`, JSON). The engine knows nothing of drawing; the writers know nothing
of the engine.
"""

from .attention import attention_svg, heatmap
from .chart import line_chart_svg
from .draw import draw_graph
from .graph import Graph
from .instruments import (
    gate_activations,
    gate_map,
    gradient_through_time,
    hidden_gradients,
    jacobian_spectrum,
    landscape,
    landscape_plot,
    spectrum_plot,
)
from .ir import Box, GraphIR, Item, Link
from .listing import listing
from .page import Panel
from .program import draw_program
from .record import Record, record
from .stats import Stats
from .tape import scope
from .twins import make_dot, plot_model

__all__ = [
    "Box",
    "Graph",
    "GraphIR",
    "Item",
    "Link",
    "Panel",
    "Record",
    "Stats",
    "attention_svg",
    "draw_graph",
    "draw_program",
    "gate_activations",
    "gate_map",
    "gradient_through_time",
    "heatmap",
    "hidden_gradients",
    "jacobian_spectrum",
    "landscape",
    "landscape_plot",
    "line_chart_svg",
    "listing",
    "make_dot",
    "plot_model",
    "record",
    "scope",
    "spectrum_plot",
]
