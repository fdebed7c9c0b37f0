"""Sentence pairs for translation."""

from __future__ import annotations

import zipfile
from typing import NamedTuple

from minigrad.data.dataset import split_by_key
from minigrad.data.datasets.files import RemoteFile, choose, fetch
from minigrad.data.text import normalize

__all__ = ["SentencePair", "tatoeba_fra_eng"]

_FRA_ENG = RemoteFile(
    "tatoeba_fra_eng",
    "fra-eng.zip",
    "16c4f7d0df9e7c5e6c54cdb0447f3f4a18a55052ff5e2e0b27dd4a06c0e49d04",
    ("https://raw.githubusercontent.com/genimind/seq2seq/master/fra-eng.zip",),
)

# The sentences of PyTorch's translation tutorial: "I am …", "he's …", after `normalize`
_PREFIXES = (
    "i am ", "i m ", "he is", "he s ", "she is", "she s ",
    "you are", "you re ", "we are", "we re ", "they are", "they re ",
)  # fmt: skip

_SPLITS = {"train": 0, "valid": 1, "test": 2}


class SentencePair(NamedTuple):
    """A sentence and its translation, as words."""

    source: list[str]
    target: list[str]


def tatoeba_fra_eng(
    split: str = "all",
    *,
    simple: bool = True,
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> list[SentencePair]:
    """French sentences (source) and English ones (target) of Tatoeba, normalised (CC BY 2.0 FR).

    `simple` keeps the 10,922 pairs that PyTorch's translation tutorial selects: fewer than 10 words
    on either side, English beginning with "I am", "he is", "they're" and the like. False gives all
    142,787.

    `split`: "all", or "train", "valid", "test": `fractions` of the distinct English sentences,
    drawn with `seed`, so that no English sentence stands in two of them.
    """
    choose("split", split, {"all": None, **_SPLITS})
    with zipfile.ZipFile(fetch(_FRA_ENG)) as archive:
        lines = archive.read("fra.txt").decode("utf-8").splitlines()
    pairs = []
    for line in lines:
        english, french = line.split("\t")[:2]
        english = normalize(english)
        if simple and not english.startswith(_PREFIXES):
            continue
        pair = SentencePair(normalize(french).split(), english.split())
        if not simple or max(map(len, pair)) < 10:
            pairs.append(pair)
    if split == "all":
        return pairs
    keys = [" ".join(pair.target) for pair in pairs]
    return split_by_key(pairs, keys, fractions, seed=seed)[_SPLITS[split]]
