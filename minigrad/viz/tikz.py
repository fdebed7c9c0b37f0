"""Writer: a laid out graph → TikZ, so that LaTeX sets the letters of slides and papers.

Positions, outlines and colour strips are those of dot (its JSON output lists every stroke). Texts
are LaTeX: σ and × are mathematics, names are escaped. The theme's colours have names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .escape import clean
from .style import Theme

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "_": r"\_", "%": r"\%", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}", "\u00a0": "~", "…": r"\dots{}", "–": "--", "—": "---", "⚠": "!",
    "’": "'", "‘": "`", "-": "{-}",
}  # fmt: skip
MATHS = {
    "−": "-", "×": r"\times", "÷": r"\div", "√": r"\surd", "∂": r"\partial", "‖": r"\|",
    "→": r"\to", "←": r"\leftarrow", "↻": r"\hookleftarrow", "·": r"\cdot", "²": "^2", "ⁿ": "^n",
    "ᵀ": r"^\top", "ℓ": r"\ell", "∞": r"\infty", "Σ": r"\Sigma", "σ": r"\sigma", "α": r"\alpha",
    "β": r"\beta", "γ": r"\gamma", "δ": r"\delta", "Δ": r"\Delta", "ε": r"\epsilon",
    "η": r"\eta", "θ": r"\theta", "λ": r"\lambda", "μ": r"\mu", "π": r"\pi", "ρ": r"\rho",
    "τ": r"\tau", "φ": r"\phi", "ω": r"\omega", "≤": r"\le", "≥": r"\ge", "±": r"\pm",
}  # fmt: skip
_KNOWN = re.compile("[A-Za-z0-9 À-ÖØ-öø-ÿ.,:;!?()+*/=@'\\[\\]]")
_NOT_T1 = "ÐÞðþ"
_ANCHORS = {"l": "base west", "c": "base", "r": "base east"}

PREAMBLE = r"""% Needs \usepackage{tikz}. \mgchar{a}{b} is b where the engine has Unicode fonts.
\ifdefined\Umathchar\providecommand\mgchar[2]{#2}\else\providecommand\mgchar[2]{#1}\fi
\providecommand\mgsize[1]{\fontsize{#1bp}{#1bp}\selectfont}
"""
DOCUMENT = r"""\documentclass{article}
\usepackage[paperwidth=%sbp,paperheight=%sbp,margin=0bp]{geometry}
\ifdefined\Umathchar\usepackage{fontspec}\else
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}
\fi
\usepackage{tikz}
\pagestyle{empty}
\parindent=0bp \topskip=0bp \hbadness=10000 \hfuzz=99bp \vfuzz=99bp
\begin{document}
%s\end{document}
"""


def latex(text: object) -> str:
    r"""Text that LaTeX prints as it is, with mathematics for symbols.

    >>> print(latex("W_h × σ"))
    W\_h $\times$ $\sigma$
    """
    out = []
    for c in clean(text).replace("σ\u0302", "\u0001"):
        if c == "\u0001":
            out.append(r"$\hat{\sigma}$")
        elif c in SPECIAL:
            out.append(SPECIAL[c])
        elif c in MATHS:
            out.append(f"${MATHS[c]}$")
        elif _KNOWN.match(c) and c not in _NOT_T1:
            out.append(c)
        else:
            out.append(f"\\mgchar{{[U+{ord(c):04X}]}}{{{c}}}")
    return "".join(out)


def to_tikz(layout: bytes, look: Theme, *, title: str = "", whole: bool = False) -> str:
    """TikZ from the JSON that dot writes; a `tikzpicture`, or a whole document.

    Every node is a TikZ node with the name it has in the DOT text, for arrows of your own.
    """
    data = json.loads(layout.decode("utf-8"), strict=False)
    objects = data.get("objects", [])
    clusters = [o for o in objects if o["name"].startswith("cluster")]
    nodes = [o for o in objects if "pos" in o]
    colours = _Colours(look)
    body = list(_part("the heading", data, colours, ("_ldraw_",)))
    for o in clusters:
        body += _part(f"box {o['name']}", o, colours, ("_draw_", "_ldraw_"))
    names = {o["_gvid"]: o["name"] for o in objects}
    edges = ("_draw_", "_hdraw_", "_tdraw_", "_ldraw_")
    for e in data.get("edges", []):
        body += _part(f"{names[e['tail']]} to {names[e['head']]}", e, colours, edges)
    for o in nodes:
        body += _part(o["name"], o, colours, ("_draw_", "_ldraw_"))
        width, height = (72 * float(o[key]) for key in ("width", "height"))
        x, y = o["pos"].split(",")
        size = f"minimum width={_n(width)}bp, minimum height={_n(height)}bp"
        place = f"at {_point((float(x), float(y)))} {{}};"
        body.append(f"\\node[inner sep=0bp, outer sep=0bp, {size}] ({o['name']}) {place}")
    left, bottom, right, top = map(float, data["bb"].split(","))
    pad = 72 * float(data.get("pad", 0.1))
    corner = _point((left - pad, bottom - pad)), _point((right + pad, top + pad))
    paper = colours.name(look.paper.lower())
    picture = [
        r"\begin{tikzpicture}[x=1bp, y=1bp]",
        f"\\fill[{paper}] {corner[0]} rectangle {corner[1]};",
        *body,
        r"\end{tikzpicture}",
    ]
    head = f"% {clean(title or 'computation graph')}, drawn by minigrad\n{PREAMBLE}"
    text = head + "\n".join([*colours.definitions(), *picture]) + "\n"
    if whole:
        paper_size = _n(right - left + 2 * pad), _n(top - bottom + 2 * pad + 2)
        return DOCUMENT % (*paper_size, text)
    return text


class _Colours:
    """Names for the colours of the theme; those of the scales stand where they are used."""

    def __init__(self, look: Theme) -> None:
        self.known: dict[str, str] = {}
        self.used: dict[str, str] = {}
        for key in ("ink", "muted", "line", "gradient", "gradient_text", "paper", "warn",
                    "box_line", "box_fill"):  # fmt: skip
            name = "".join(part.capitalize() for part in key.split("_"))
            self.known.setdefault(getattr(look, key).lower(), f"mg{name}")
        for kind, pair in look.kinds.items():
            for what, colour in zip(("Line", "Fill"), pair, strict=True):
                self.known.setdefault(colour.lower(), f"mg{kind.capitalize()}{what}")

    def name(self, colour: str) -> str:
        """The name of #rrggbb, with what dot writes for black and transparent."""
        colour = {"black": "#000000", "white": "#ffffff"}.get(colour, colour).lower()
        if not re.fullmatch("#[0-9a-f]{6}([0-9a-f]{2})?", colour) or colour[7:] == "00":
            return ""
        colour = colour[:7]
        if colour in self.known:
            return self.used.setdefault(colour, self.known[colour])
        red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        return f"{{rgb,255:red,{red};green,{green};blue,{blue}}}"

    def definitions(self) -> list[str]:
        """One line each, sorted."""
        pairs = sorted((name, colour) for colour, name in self.used.items())
        return [f"\\definecolor{{{n}}}{{HTML}}{{{c[1:].upper()}}}" for n, c in pairs]


def _part(name: str, part: dict[str, Any], colours: _Colours, keys: Iterable[str]) -> Iterable[str]:
    lines = [line for key in keys for line in _strokes(part.get(key, ()), colours)]
    return [f"% {clean(name)}", *lines] if lines else []


def _strokes(ops: Iterable[dict[str, Any]], colours: _Colours) -> Iterable[str]:
    """TikZ for a list of xdot operations; the pen is new in each list."""
    pen, fill, size, bold = "black", "", 12.0, False
    width, dash = 1.0, ""
    for op in ops:
        what = op["op"]
        if what == "c":
            pen = op["color"]
        elif what == "C":
            fill = op.get("color", "")
        elif what == "F":
            size = float(op["size"])
        elif what == "t":
            bold = bool(op["fontchar"] & 1)
        elif what == "S":
            style = op["style"]
            found = re.fullmatch(r"setlinewidth\(([\d.]+)\)", style)
            width = float(found.group(1)) if found else width
            dash = style if style in ("dashed", "dotted") else "" if style == "solid" else dash
        elif what == "T":
            yield _words(op, colours.name(pen), size, bold)
        elif what in _PATHS:
            options = []
            stroke, inside = colours.name(pen), colours.name(fill) if what.isupper() else ""
            if stroke and not (what == "P" and stroke == inside):
                options += [f"draw={stroke}", f"line width={_n(width)}bp"]
                options += [dash] if dash else []
            if inside and what != "L":
                options.append(f"fill={inside}")
            if options:
                yield f"\\path[{', '.join(options)}] {_PATHS[what](op)};"


def _words(op: dict[str, Any], colour: str, size: float, bold: bool) -> str:
    look = [f"anchor={_ANCHORS[op['align']]}", "inner sep=0bp", f"text={colour or 'black'}"]
    series = r"\bfseries" if bold else ""
    look.append(f"font=\\sffamily{series}\\mgsize{{{_n(size)}}}")
    return f"\\node[{', '.join(look)}] at {_point(op['pt'])} {{{latex(op['text'])}}};"


def _ellipse(op: dict[str, Any]) -> str:
    x, y, rx, ry = op["rect"]
    return f"{_point((x, y))} ellipse [x radius={_n(rx)}bp, y radius={_n(ry)}bp]"


def _polygon(op: dict[str, Any]) -> str:
    return " -- ".join([*map(_point, op["points"]), "cycle"])


def _line(op: dict[str, Any]) -> str:
    return " -- ".join(map(_point, op["points"]))


def _curve(op: dict[str, Any]) -> str:
    first, *rest = map(_point, op["points"])
    parts = zip(rest[::3], rest[1::3], rest[2::3], strict=False)
    return first + "".join(f" .. controls {a} and {b} .. {c}" for a, b, c in parts)


_PATHS: dict[str, Callable[[dict[str, Any]], str]] = {
    "e": _ellipse, "E": _ellipse, "p": _polygon, "P": _polygon, "L": _line, "b": _curve,
    "B": _curve,
}  # fmt: skip


def _point(xy: Sequence[float]) -> str:
    return f"({_n(xy[0])},{_n(xy[1])})"


def _n(x: float) -> str:
    text = f"{x:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
