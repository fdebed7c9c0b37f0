"""Vocabularies: tokens, which may be characters, to ids and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigrad.data.sequences import check_ids
from minigrad.errors import ConfigError, DataError

__all__ = ["Vocabulary"]


class Vocabulary:
    """A numbered list of distinct tokens, some of them special.

    `pad`, `unk`, `bos`, `eos` name the special tokens; they are put first, in this order, unless
    `tokens` already holds them; one token may play two roles. `Vocabulary.build` counts a corpus. A
    string is a sequence of characters, so the same class serves characters and words:

    >>> chars = Vocabulary.build(["hello"])
    >>> chars.tokens, chars.encode("hole")
    (('l', 'e', 'h', 'o'), array([2, 3, 0, 1]))
    >>> corpus = [["a", "cat"], ["a", "dog"]]
    >>> words = Vocabulary.build(corpus, pad="<pad>", unk="<unk>", eos="<eos>")
    >>> words.tokens
    ('<pad>', '<unk>', '<eos>', 'a', 'cat', 'dog')
    >>> words.encode(["a", "bird"], eos=True)
    array([3, 1, 2])
    >>> words.decode([3, 5, 2, 0, 0])
    ['a', 'dog']

    Raises: ConfigError if a token occurs twice.
    """

    def __init__(
        self,
        tokens: Iterable[str],
        *,
        pad: str | None = None,
        unk: str | None = None,
        bos: str | None = None,
        eos: str | None = None,
    ) -> None:
        self.specials = {
            role: token
            for role, token in (("pad", pad), ("unk", unk), ("bos", bos), ("eos", eos))
            if token is not None
        }
        listed = list(tokens)
        first = dict.fromkeys(self.specials.values())
        known = set(listed)
        self.tokens = (*(special for special in first if special not in known), *listed)
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        if len(self._ids) != len(self.tokens):
            twice = [token for token, n in Counter(self.tokens).items() if n > 1]
            raise ConfigError(f"Vocabulary: tokens must be distinct, these are not: {twice[:5]}")

    @classmethod
    def build(
        cls,
        sequences: Iterable[Iterable[str]],
        *,
        min_freq: int = 1,
        max_size: int | None = None,
        pad: str | None = None,
        unk: str | None = None,
        bos: str | None = None,
        eos: str | None = None,
    ) -> Vocabulary:
        """Count the tokens of `sequences`; keep those seen `min_freq` times, `max_size` in all.

        Order: specials, then by falling frequency, equals in code-point order; it does not depend
        on the order of the corpus. `max_size` counts the specials. Cutting needs `unk` if the
        corpus is to be encoded.
        """
        counts: Counter[str] = Counter()
        for sequence in sequences:
            counts.update(sequence)
        specials = {token for token in (pad, unk, bos, eos) if token is not None}
        if max_size is not None and max_size < len(specials):
            raise ConfigError(
                f"Vocabulary: max_size={max_size} is less than {len(specials)} specials"
            )
        for token in specials:
            del counts[token]  # a Counter's del asks for nothing
        kept = sorted(
            (t for t, n in counts.items() if n >= min_freq), key=lambda t: (-counts[t], t)
        )
        room = None if max_size is None else max_size - len(specials)
        return cls(kept[:room], pad=pad, unk=unk, bos=bos, eos=eos)

    # -- tokens to ids ----------------------------------------------------------------------------

    def encode(
        self, tokens: Iterable[str], *, bos: bool = False, eos: bool = False
    ) -> NDArray[np.int64]:
        """The ids of `tokens`, with the begin and end marks that are asked for.

        Raises: DataError for a token that is not listed, if there is no `unk`.
        """
        if "unk" in self.specials:
            unknown = self.unk_id
            ids = [self._ids.get(token, unknown) for token in tokens]
        else:
            ids = self._encode_listed(tokens)
        if bos:
            ids.insert(0, self.bos_id)
        if eos:
            ids.append(self.eos_id)
        return np.array(ids, dtype=np.int64)

    def _encode_listed(self, tokens: Iterable[str]) -> list[int]:
        sequence = list(tokens)
        try:
            return [self._ids[token] for token in sequence]
        except KeyError as error:
            token = error.args[0]
            raise DataError(
                f"Vocabulary.encode: token {token!r} at position {sequence.index(token)} is "
                f"not among the {len(self)} tokens, and there is no unk token to stand for it"
            ) from None

    # -- ids to tokens ----------------------------------------------------------------------------

    def decode(self, ids: ArrayLike, *, keep_specials: bool = False) -> list[str]:
        """The tokens of `ids`, up to the first end mark and without pad and begin marks.

        With `keep_specials` every id is turned into its token. Raises: IndexRangeError for an id
        outside the list.
        """
        array = check_ids(ids, len(self), name="Vocabulary.decode")
        tokens = [self.tokens[i] for i in array.ravel()]
        if keep_specials:
            return tokens
        bos, eos = self.specials.get("bos"), self.specials.get("eos")
        if tokens[:1] == [bos]:  # before the end mark is looked for: it may be the same token
            del tokens[0]
        if eos in tokens:
            del tokens[tokens.index(eos) :]
        return [token for token in tokens if token not in (self.specials.get("pad"), bos)]

    # -- the special ids --------------------------------------------------------------------------

    @property
    def pad_id(self) -> int:
        return self._special("pad")

    @property
    def unk_id(self) -> int:
        return self._special("unk")

    @property
    def bos_id(self) -> int:
        return self._special("bos")

    @property
    def eos_id(self) -> int:
        return self._special("eos")

    def _special(self, role: str) -> int:
        if role not in self.specials:
            raise ConfigError(
                f"Vocabulary: there is no {role} token; build it with {role}='<{role}>'"
            )
        return self._ids[self.specials[role]]

    # -- a collection -----------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.tokens)

    def __iter__(self) -> Iterator[str]:
        return iter(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def __getitem__(self, token: str) -> int:
        """The id of one token, `unk_id` for a token that is not listed."""
        return int(self.encode([token])[0])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return (self.tokens, self.specials) == (other.tokens, other.specials)

    def __hash__(self) -> int:
        return hash(self.tokens)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens, specials={self.specials})"

    def to_dict(self) -> dict[str, Any]:
        """All of it as strings, lists and dicts: what JSON and a checkpoint can hold."""
        return {"tokens": list(self.tokens), "specials": dict(self.specials)}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Vocabulary:
        """The vocabulary that `to_dict` described.

        Raises: DataError if `state` is no such description.
        """
        tokens, specials = state.get("tokens"), state.get("specials")
        if (
            not isinstance(tokens, (list, tuple))
            or not isinstance(specials, Mapping)
            or not set(specials) <= {"pad", "unk", "bos", "eos"}
            or not all(isinstance(t, str) for t in (*tokens, *specials.values()))
        ):
            raise DataError(
                "Vocabulary.from_dict: expected {'tokens': [str, …], 'specials': {'pad': str, …}}, "
                f"got keys {sorted(map(str, state))}"
            )
        return cls(tokens, **specials)
