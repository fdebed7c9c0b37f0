"""Real, freely licensed data sets: each function finds or downloads its files and checks them.

>>> text = python_reference()    # needs no network
>>> "expression" in text
True

A folder named by the environment variable `MINIGRAD_DATA` is looked in first; see
`minigrad.data.datasets.files`.
"""

from __future__ import annotations

from minigrad.data.datasets.files import RemoteFile, cache_dir, fetch, locate
from minigrad.data.datasets.images import LabelledImages, mnist, read_idx
from minigrad.data.datasets.tagging import TaggedSentence, read_conllu, ud_english_ewt
from minigrad.data.datasets.text import (
    names,
    names_by_language,
    python_reference,
    tiny_shakespeare,
    wikitext2,
)
from minigrad.data.datasets.translation import SentencePair, tatoeba_fra_eng

__all__ = [
    "LabelledImages",
    "RemoteFile",
    "SentencePair",
    "TaggedSentence",
    "cache_dir",
    "fetch",
    "locate",
    "mnist",
    "names",
    "names_by_language",
    "python_reference",
    "read_conllu",
    "read_idx",
    "tatoeba_fra_eng",
    "tiny_shakespeare",
    "ud_english_ewt",
    "wikitext2",
]
