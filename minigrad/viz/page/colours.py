"""`color_by` on the page: what the script cannot tell from the numbers it has anyway."""

from __future__ import annotations

from typing import Any

from ..boxes import modules_of
from ..escape import clean
from ..ir import GraphIR, Path
from ..shade import MODULES, SCALES, STROKES, own_module
from ..style import Theme
from .details import Details


def colours(
    base: GraphIR, boxes: list[dict[str, Any]], paths: list[Path], details: Details | None
) -> dict[str, Any]:
    """Names of the modules, and which of them every node and box belongs to.

    Sets `module` of the boxes; returns what goes into the data of the page.
    """
    items = list(base.items.values())
    own = [modules_of(item.path) + own_module(item) for item in items]
    common = 1 if len({path[:1] for path in own if path}) == 1 else 0
    names: dict[str, int] = {}

    def module(path: Path) -> int:
        if len(path) <= common:
            return -1
        return min(names.setdefault(path[common], len(names)), len(MODULES) - 1)

    of = [module(path) for path in own]
    for path, box in zip(paths, boxes, strict=True):
        box["module"] = module(modules_of(path))
    out: dict[str, Any] = {
        "module_of": of,
        "modules": [clean(name, 40) for name in list(names)[: len(MODULES)]],
        "more_modules": len(names) > len(MODULES),
    }
    if details is not None and details.by:
        out["by"] = details.by
        out["given_name"] = clean(details.name)
        out["given"] = [details.given.get(item.id) for item in items]
    return out


def variables(look: Theme) -> str:
    """CSS: the colours of the scales in a theme."""
    dark = look.name == "dark"
    out = []
    for name, stroke in STROKES.items():
        stops = SCALES[name][dark]
        out += [f"--by-{name}-{i}:{stop}" for i, stop in enumerate(stops)]
        out.append(f"--by-{name}-stroke:{stroke}")
    for i, module in enumerate(MODULES):
        out += [f"--module-{i}-fill:{module[dark]}", f"--module-{i}-stroke:{module[2]}"]
    return ";".join(out)
