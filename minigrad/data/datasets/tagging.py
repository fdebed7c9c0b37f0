"""Sentences with a tag for each word, in the CoNLL-U format of Universal Dependencies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from minigrad.data.datasets.files import RemoteFile, choose, fetch
from minigrad.errors import DataError

__all__ = ["TaggedSentence", "read_conllu", "ud_english_ewt"]

_EWT_URL = "https://raw.githubusercontent.com/UniversalDependencies/UD_English-EWT/r2.16/"

_EWT = {
    split: RemoteFile(
        "ud_english_ewt",
        f"en_ewt-ud-{name}.conllu",
        digest,
        (f"{_EWT_URL}en_ewt-ud-{name}.conllu",),
    )
    for split, name, digest in (
        ("train", "train", "3fb78e2b55482c8ee00caa653af436c88c9e5bc9a73ce26e4ae3ddc79d2b7e7b"),
        ("valid", "dev", "531a54ff90d6ab12201c5a50c3e78e6ddac4de69abc4bce5d275d3cd29efe2b6"),
        ("test", "test", "e266e515a0a7547657ed3d90d9ba46487d6bd251f27ad4269d4e8a427c8555cd"),
    )
}

_COLUMNS = {"upos": 3, "xpos": 4}


class TaggedSentence(NamedTuple):
    """The words of a sentence, and the tag of each."""

    words: list[str]
    tags: list[str]


def ud_english_ewt(split: str = "train", *, tags: str = "upos") -> list[TaggedSentence]:
    """Sentences with parts of speech: the English Web Treebank, UD 2.16 (CC BY-SA 4.0).

    `split`: "train" (12,544 sentences, 204,577 words), "valid" (2,001; 25,147) or "test" (2,077;
    25,094).
    `tags`: "upos", the 17 universal tags, or "xpos", the Penn Treebank's.
    """
    file: RemoteFile = choose("split", split, _EWT)
    choose("tags", tags, _COLUMNS)  # before anything is downloaded
    return list(read_conllu(fetch(file), tags=tags))


def read_conllu(path: str | Path, *, tags: str = "upos") -> Iterator[TaggedSentence]:
    """The sentences of a CoNLL-U file, one after the other.

    The syntactic words are read: of a multiword token ("29-30 didn't") its parts, which follow it;
    empty nodes ("8.1"), which stand for words that were left out, are not words of the sentence.

    Raises: DataError, with the line, where a line has not ten columns or its words are not numbered
    1, 2, ….
    """
    column: int = choose("tags", tags, _COLUMNS)
    sentence = TaggedSentence([], [])
    with Path(path).open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            line = line.rstrip("\n")
            if not line:
                if sentence.words:
                    yield sentence
                    sentence = TaggedSentence([], [])
                continue
            if line.startswith("#"):
                continue
            fields = line.split("\t")
            if len(fields) != 10:
                raise DataError(f"{path}, line {number}: expected 10 columns, got {len(fields)}")
            if "-" in fields[0] or "." in fields[0]:
                continue
            if fields[0] != str(len(sentence.words) + 1):
                raise DataError(
                    f"{path}, line {number}: expected word {len(sentence.words) + 1}, "
                    f"got {fields[0]!r}"
                )
            sentence.words.append(fields[1])
            sentence.tags.append(fields[column])
    if sentence.words:
        yield sentence
