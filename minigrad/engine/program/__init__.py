"""Record once, replay: `compile` and what it is made of.

In reading order: `memory` (places), `standin` (the array that is recorded), `calls` (NumPy's calls
as calls that allocate nothing), `conditions`, `line`, `recorder`, `whole`, `record`, `walk`,
`forks`, `copies`, `terms`, `sums`, `rows`, `free`, `plan`, `layout`, `blocks`, `program`, `capture`
(graphs of a device), `compile`.
"""

from __future__ import annotations

from .compile import Compiled, compile

__all__ = ["Compiled", "compile"]
