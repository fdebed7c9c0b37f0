"""Plain text to tokens: the small normaliser of the sequence-to-sequence tutorials."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["normalize", "strip_accents", "tokenize"]


def strip_accents(text: str) -> str:
    """The letters of `text` without their diacritics.

    >>> strip_accents("Été à Łódź")
    'Ete a Łodz'
    """
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFD", text)
    return "".join(c for c in decomposed if unicodedata.category(c) != "Mn")


def normalize(text: str) -> str:
    """Lower case, no accents, letters and the marks . ! ? only, a space before each mark.

    The same as in PyTorch's translation tutorial, so its sentence filter selects the same pairs.

    >>> normalize("Ça alors, j'ai 3 chats!")
    'ca alors j ai chats !'
    """
    plain = strip_accents(text.lower().strip())
    spaced = re.sub(r"([.!?])", r" \1", plain)
    return re.sub(r"[^a-zA-Z.!?]+", " ", spaced).strip()


def tokenize(text: str, *, lower: bool = False) -> list[str]:
    """Words and punctuation marks, in order; apostrophes and hyphens inside a word stay in it.

    >>> tokenize("Don't panic, well-read reader!")
    ["Don't", 'panic', ',', 'well-read', 'reader', '!']
    """
    return re.findall(r"\w+(?:['’\-]\w+)*|[^\w\s]", text.lower() if lower else text)
