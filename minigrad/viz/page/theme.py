"""Colours of a page. Its pictures are laid out once, in stand-in colours, one for each role.

Style sheets give every stand-in the colour of the theme, so light and dark share one layout.
"""

from __future__ import annotations

from ..style import DARK, LIGHT, Theme
from .colours import variables

ROLES = (
    "paper", "ink", "muted", "line", "forward", "gradient", "gradient_text", "box_line",
    "box_fill", "badge_fill", "badge_ink", "warn",
)  # fmt: skip
KINDS = tuple(LIGHT.kinds)


def _stand_in(at: int) -> str:
    return f"#01FE{at:02X}"


_BY_ROLE = {role: _stand_in(i + 1) for i, role in enumerate(ROLES)}
_BY_KIND = {kind: (_stand_in(64 + 2 * i), _stand_in(65 + 2 * i)) for i, kind in enumerate(KINDS)}
PAGE = Theme(name="page", kinds=_BY_KIND, **_BY_ROLE)


def stylesheet() -> str:
    """CSS: the colours of both themes as variables, and what each stand-in is painted with."""
    names: dict[str, str] = {}
    for role, stand_in in _BY_ROLE.items():
        names[stand_in] = role.replace("_", "-")
    for kind, (stroke, fill) in _BY_KIND.items():
        names[stroke], names[fill] = f"{kind}-stroke", f"{kind}-fill"
    light, dark = _variables(LIGHT), _variables(DARK)
    auto = f":root:not([data-theme=light]){{color-scheme:dark;{dark}}}"
    rules = [
        f":root{{color-scheme:light;{light}}}",
        f"@media (prefers-color-scheme:dark){{{auto}}}",
        f":root[data-theme=dark]{{color-scheme:dark;{dark}}}",
    ]
    for stand_in, name in names.items():
        low = stand_in.lower()
        rules.append(f'#graph [fill="{low}"]{{fill:var(--{name})}}')
        rules.append(f'#graph [stroke="{low}"]{{stroke:var(--{name})}}')
    return "\n".join(rules)


def _variables(look: Theme) -> str:
    out = [f"--{role.replace('_', '-')}:{getattr(look, role)}" for role in ROLES]
    for kind, (stroke, fill) in look.kinds.items():
        out += [f"--{kind}-stroke:{stroke}", f"--{kind}-fill:{fill}"]
    return ";".join([*out, variables(look)])
