"""The picture as one page: a self-contained HTML file that needs neither a server nor a network.

`details` keeps what a page shows beyond the picture, `opening` what fused ops are made of, `data`
makes it JSON, `view` is the first layout, `events` the backward pass in the engine's order,
`panels` the figures beside the graph; `document` puts it all into one file. The script and the WASM
engine in `assets/` are built by `assets/build.mjs`.
"""

from .details import Details, gather
from .panels import Panel

__all__ = ["Details", "Panel", "gather"]
