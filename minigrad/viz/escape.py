"""The one place where text that users wrote becomes text inside DOT, SVG, HTML, Mermaid or JSON.

Names of tensors and modules may hold anything: tags, quotes, line breaks, NUL, lone surrogates,
right-to-left overrides. Every writer of this package passes them through here, and nowhere else.
"""

from __future__ import annotations

import html
import json
import re
from typing import Any

LIMIT = 120  # a longer name is cut in a picture; JSON holds it whole

# What XML 1.0 forbids, line separators, and the controls that reorder text around them.
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]"
    "|[\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]"
)
_SPACE = re.compile(r"[\t\r\n]+")


def clean(text: object, limit: int = LIMIT) -> str:
    """One printable line: what no format can carry becomes U+FFFD, and a long text is cut.

    >>> clean("a" + chr(10) + "b" + chr(0)) == "a b" + chr(0xFFFD)
    True
    """
    line = _SPACE.sub(" ", _FORBIDDEN.sub("\ufffd", str(text)))
    return line if len(line) <= limit else line[: limit - 1] + "…"


def markup(text: object, limit: int = LIMIT) -> str:
    """For SVG, HTML and DOT's HTML-like labels: `<` is a character, not a tag."""
    line = html.escape(clean(text, limit), quote=True)
    # dot feeds its XML parser piece by piece, and a piece "]" waits for "]]>" for ever.
    return line if line.strip("]") else line.replace("]", "&#93;")


def quoted(text: object, limit: int = 4 * LIMIT) -> str:
    r"""A quoted DOT string in which neither `\N` nor `&lt;` nor a quote means anything.

    Line breaks are the caller's: text is cleaned line by line.
    """
    lines = [clean(line, limit) for line in str(text).split("\n")]
    body = "\\n".join(
        line.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"') for line in lines
    )
    return f'"{body}"'


def mermaid(text: object, limit: int = LIMIT) -> str:
    """A Mermaid label: everything but letters, digits and spaces as a character entity."""
    return "".join(
        c if c.isalnum() or c in " .,()-_" else f"#{ord(c)};" for c in clean(text, limit)
    )


def to_json(value: Any, *, indent: int | None = 1) -> str:
    """JSON that may stand inside a `<script>` element: `<`, `>`, `&` and U+2028/9 are escaped."""
    separators = None if indent else (",", ":")
    text = json.dumps(
        value, ensure_ascii=True, indent=indent, allow_nan=False, sort_keys=True,
        separators=separators,
    )  # fmt: skip
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
