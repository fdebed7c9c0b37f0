import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.data import Vocabulary, normalize, strip_accents, tokenize
from minigrad.errors import ConfigError, DataError, IndexRangeError

SPECIALS = {"pad": "<pad>", "unk": "<unk>", "bos": "<bos>", "eos": "<eos>"}


@given(st.text(min_size=1))
def test_characters_round_trip(text):
    chars = Vocabulary.build([text])
    ids = chars.encode(text)
    assert ids.dtype == np.int64
    assert "".join(chars.decode(ids)) == text
    assert set(chars) == set(text)


@given(st.lists(st.sampled_from("abcdef")), st.randoms())
def test_order_does_not_depend_on_the_corpus_order(letters, random):
    shuffled = list(letters)
    random.shuffle(shuffled)
    assert Vocabulary.build([letters]).tokens == Vocabulary.build([shuffled]).tokens


def test_order_is_specials_frequency_code_point():
    words = Vocabulary.build(["b", "c", "c", "a", "b", "c"], **SPECIALS)
    assert words.tokens == ("<pad>", "<unk>", "<bos>", "<eos>", "c", "b", "a")
    assert Vocabulary.build(["bca"]).tokens == ("a", "b", "c")
    assert (words.pad_id, words.unk_id, words.bos_id, words.eos_id) == (0, 1, 2, 3)


def test_cuts():
    corpus = [["a"] * 3 + ["b"] * 2 + ["c"] * 2 + ["d"]]
    assert Vocabulary.build(corpus, min_freq=2).tokens == ("a", "b", "c")
    assert Vocabulary.build(corpus, max_size=3, unk="?").tokens == ("?", "a", "b")
    assert Vocabulary.build(corpus, max_size=1, unk="?").tokens == ("?",)
    with pytest.raises(ConfigError, match="max_size"):
        Vocabulary.build(corpus, max_size=1, **SPECIALS)


def test_a_special_in_the_corpus_is_not_listed_twice():
    words = Vocabulary.build([["<unk>", "a", "<eos>", "a"]], unk="<unk>", eos="<eos>")
    assert words.tokens == ("<unk>", "<eos>", "a")


def test_marks_and_unknown_words():
    words = Vocabulary(["a", "b"], **SPECIALS)
    assert words.encode(["a", "zebra"], bos=True, eos=True).tolist() == [2, 4, 1, 3]
    assert words["zebra"] == words.unk_id
    assert "zebra" not in words
    assert words.decode([2, 4, 1, 3, 0, 5]) == ["a", "<unk>"]
    assert words.decode([2, 4, 3, 0], keep_specials=True) == ["<bos>", "a", "<eos>", "<pad>"]
    assert words.encode([]).tolist() == []


def test_one_token_may_begin_and_end():
    names = Vocabulary.build(["ab"], bos=".", eos=".")
    assert names.tokens == (".", "a", "b")
    ids = names.encode("ab", bos=True, eos=True)
    assert ids.tolist() == [0, 1, 2, 0]
    assert names.decode(ids) == ["a", "b"]


def test_errors_name_the_token():
    chars = Vocabulary.build(["abc"])
    with pytest.raises(DataError, match="'z' at position 1"):
        chars.encode("azb")
    with pytest.raises(ConfigError, match="no eos token"):
        chars.encode("a", eos=True)
    with pytest.raises(IndexRangeError, match="id 3 at position"):
        chars.decode([0, 3])
    with pytest.raises(IndexRangeError, match="id -1"):
        chars.decode([-1])
    with pytest.raises(ConfigError, match="'a'"):
        Vocabulary(["a", "b", "a"])


def test_json_round_trip():
    words = Vocabulary.build([["b", "a", "é"]], **SPECIALS)
    again = Vocabulary.from_dict(json.loads(json.dumps(words.to_dict())))
    assert again == words
    assert hash(again) == hash(words)
    assert again.tokens == words.tokens
    assert again.eos_id == words.eos_id
    assert again != Vocabulary(words.tokens)
    assert words != "words"
    assert "7 tokens" in repr(words)


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"tokens": "abc", "specials": {}},
        {"tokens": [1], "specials": {}},
        {"tokens": ["a"], "specials": []},
        {"tokens": ["a"], "specials": {"mask": "m"}},
        {"tokens": ["a"], "specials": {"pad": 0}},
    ],
)
def test_a_damaged_description_is_refused(state):
    with pytest.raises(DataError, match="from_dict"):
        Vocabulary.from_dict(state)


def test_normalize_as_in_the_tutorial():
    assert normalize("  J'ai 19 ans. ") == "j ai ans ."
    assert normalize("Où es-tu allée ?!") == "ou es tu allee ? !"
    assert strip_accents("plain") == "plain"
    assert strip_accents("naïve Ångström") == "naive Angstrom"


def test_tokenize():
    assert tokenize("It's 5 o'clock -- Über-cool!", lower=True) == [
        "it's", "5", "o'clock", "-", "-", "über-cool", "!",
    ]  # fmt: skip
