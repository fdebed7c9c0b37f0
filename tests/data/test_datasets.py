"""The data sets themselves, where they are on this machine, and their formats on small examples."""

import gzip
import string
import zipfile

import numpy as np
import pytest

from minigrad.data import datasets
from minigrad.data.datasets import images, tagging, text, translation
from minigrad.data.datasets.files import locate
from minigrad.errors import DataError


def local(*files):
    """Skip the test, saying so, unless the files are in MINIGRAD_DATA or in the cache."""
    if any(locate(file) is None for file in files):
        pytest.skip(f"{files[0].folder} is not on this machine: set MINIGRAD_DATA to its folder")


def test_tiny_shakespeare():
    local(text._SHAKESPEARE)
    whole = datasets.tiny_shakespeare()
    assert (len(whole), len(set(whole))) == (1_115_394, 65)
    train, valid = datasets.tiny_shakespeare("train"), datasets.tiny_shakespeare("valid")
    assert train + valid == whole
    assert len(train) == 1_003_854


def test_names():
    local(text._NAMES)
    names = datasets.names()
    assert (len(names), max(map(len, names)), names[0]) == (32_033, 15, "emma")
    assert set("".join(names)) == set(string.ascii_lowercase)


def test_names_by_language():
    local(*text._LANGUAGES.values())
    names = datasets.names_by_language()
    counts = dict.fromkeys(text._LANGUAGES, 0)
    for name, language in names:
        assert name == name.strip()
        counts[language] += 1
    assert (len(names), len(counts)) == (20_050, 18)
    assert (counts["Russian"], counts["Portuguese"]) == (9_384, 74)


def test_wikitext2():
    local(*text._WIKITEXT.values())
    train = datasets.wikitext2("train")
    assert (len(train), len(set(train))) == (2_088_628, 33_278)
    assert len(datasets.wikitext2("valid")) == 217_646
    assert len(datasets.wikitext2("test")) == 245_569


@pytest.mark.parametrize(
    ("split", "sentences", "words"),
    [("train", 12_544, 204_577), ("valid", 2_001, 25_147), ("test", 2_077, 25_094)],
)
def test_ud_english_ewt(split, sentences, words):
    local(tagging._EWT[split])
    found = datasets.ud_english_ewt(split)
    assert len(found) == sentences
    assert sum(len(s.words) for s in found) == words
    assert all(len(s.words) == len(s.tags) > 0 for s in found)
    assert len({tag for s in found for tag in s.tags}) == 17


def test_ud_penn_tags():
    local(tagging._EWT["train"])
    assert len({t for s in datasets.ud_english_ewt("train", tags="xpos") for t in s.tags}) == 49


def test_tatoeba_selects_the_pairs_of_the_tutorial():
    local(translation._FRA_ENG)
    parts = [datasets.tatoeba_fra_eng(s, seed=1) for s in ("train", "valid", "test")]
    assert sum(map(len, parts)) == 10_922
    assert max(len(side) for part in parts for pair in part for side in pair) == 9
    english = [{tuple(pair.target) for pair in part} for part in parts]
    assert all(not a & b for i, a in enumerate(english) for b in english[:i])
    total = len(set().union(*english))
    assert len(english[0]) == round(0.8 * total)
    assert len(english[1]) == round(0.9 * total) - round(0.8 * total)
    assert parts[2] != datasets.tatoeba_fra_eng("test", seed=2)


@pytest.mark.parametrize(("split", "count"), [("train", 60_000), ("test", 10_000)])
def test_mnist(split, count):
    local(*images._MNIST[split])
    digits = datasets.mnist(split)
    assert digits.images.shape == (count, 28, 28)
    assert (digits.images.dtype, digits.images.min(), digits.images.max()) == (np.uint8, 0, 255)
    assert digits.labels.dtype == np.int64
    assert np.bincount(digits.labels).shape == (10,)
    assert digits.labels[:5].tolist() == ([5, 0, 4, 1, 9] if split == "train" else [7, 2, 1, 0, 4])


def test_python_reference_is_english_prose():
    whole = datasets.python_reference()
    assert 150_000 < len(whole) < 500_000
    assert whole.isascii()
    assert len(set(whole)) < 100
    assert "::=" not in whole
    assert ">>>" not in whole
    lines = whole.splitlines()
    assert len(lines) == len(set(lines)) > 500
    assert all(line[-1] in ".:!?" and len(line.split()) >= 8 for line in lines)
    letters = sum(c.isalpha() or c == " " for c in whole)
    assert letters / len(whole) > 0.9
    assert datasets.python_reference("train") + datasets.python_reference("valid") == whole
    assert datasets.python_reference() == whole


def test_a_python_without_its_reference(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pydoc_data.topics", None)
    with pytest.raises(DataError, match="pydoc_data"):
        datasets.python_reference()


# -- what is made of a file, without the real ones ------------------------------------------------


def test_tatoeba_filter(tmp_path, monkeypatch):
    lines = [
        "Go.\tVa !",
        "I'm 19.\tJ'ai 19 ans.",
        "He's here.\tIl est ici.\tCC-BY",
        "He's here.\tLe voici.",
        "You are " + "very " * 7 + "good.\tTrop long.",
        "You are good.\t" + "Un " * 9 + "deux.",
        "They're late.\tElles sont en retard.",
    ]
    path = tmp_path / "fra-eng.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("fra.txt", "\n".join(lines))
    monkeypatch.setattr(translation, "fetch", lambda file: path)
    pairs = datasets.tatoeba_fra_eng()
    english = [" ".join(pair.target) for pair in pairs]
    assert english == ["i m .", "he s here .", "he s here .", "they re late ."]
    assert pairs[1].source == ["il", "est", "ici", "."]
    assert len(datasets.tatoeba_fra_eng(simple=False)) == 7
    thirds = {"fractions": (0.4, 0.3, 0.3)}
    parts = [datasets.tatoeba_fra_eng(s, **thirds) for s in ("train", "valid", "test")]
    assert sorted(pair for part in parts for pair in part) == sorted(pairs)
    assert any(parts[i] == [pairs[1], pairs[2]] for i in range(3))


def test_text_files(tmp_path, monkeypatch):
    path = tmp_path / "some.txt"
    path.write_text(" \n = A = \n\nÀb cd \n", encoding="utf-8")
    monkeypatch.setattr(text, "fetch", lambda file: path)
    assert datasets.wikitext2() == ["<eos>", "=", "A", "=", "<eos>", "<eos>", "Àb", "cd", "<eos>"]
    assert len(datasets.tiny_shakespeare("valid")) == 2
    names = datasets.names_by_language()
    assert names[:2] == [("= A =", "Arabic"), ("Àb cd", "Arabic")]
    assert names[-1] == ("Àb cd", "Vietnamese")
    assert datasets.names() == ["=", "A", "=", "Àb", "cd"]


def test_digits(tmp_path, monkeypatch):
    for name, content in {
        "train-images-idx3-ubyte.gz": idx((2, 28, 28), bytes(2 * 784)),
        "train-labels-idx1-ubyte.gz": idx((2,), [7, 3]),
    }.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(images, "fetch", lambda file: tmp_path / file.name)
    digits = datasets.mnist()
    assert digits.images.shape == (2, 28, 28)
    assert digits.labels.tolist() == [7, 3]


# -- CoNLL-U --------------------------------------------------------------------------------------


def row(number, form, upos, xpos="X"):
    return "\t".join([number, form, "_", upos, xpos, *"_____"])


CONLLU = "\n".join(
    [
        "# text = They didn't, he did.",
        row("1", "They", "PRON"),
        row("2-3", "didn't", "_"),
        row("2", "did", "AUX", "VBD"),
        row("3", "n't", "PART"),
        row("3.1", "go", "VERB"),
        "",
        "# second",
        row("1", "he said", "PRON"),  # a word may hold a space
    ]
)


def test_conllu_reads_syntactic_words(tmp_path):
    path = tmp_path / "a.conllu"
    path.write_text(CONLLU + "\n\n\n", encoding="utf-8")
    first, second = datasets.read_conllu(path)
    assert first == (["They", "did", "n't"], ["PRON", "AUX", "PART"])
    assert second.words == ["he said"]
    assert next(datasets.read_conllu(path, tags="xpos")).tags == ["X", "VBD", "X"]


def test_conllu_without_a_last_newline(tmp_path):
    path = tmp_path / "a.conllu"
    path.write_text(CONLLU, encoding="utf-8")
    assert len(list(datasets.read_conllu(path))) == 2


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("1\tword\tX", "line 1: expected 10 columns, got 3"),
        (row("1", "a", "X") + "\n" + row("3", "b", "X"), "line 2: expected word 2, got '3'"),
    ],
)
def test_conllu_errors_name_the_line(lines, message, tmp_path):
    path = tmp_path / "broken.conllu"
    path.write_text(lines)
    with pytest.raises(DataError, match=f"broken.conllu, {message}"):
        list(datasets.read_conllu(path))


# -- IDX ------------------------------------------------------------------------------------------


def idx(shape, data, kind=8):
    header = bytes([0, 0, kind, len(shape)]) + np.array(shape, ">i4").tobytes()
    return gzip.compress(header + bytes(data), mtime=0)


def test_idx(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(idx((2, 3), range(6)))
    array = datasets.read_idx(path)
    np.testing.assert_array_equal(array, np.arange(6).reshape(2, 3))
    array[0, 0] = 1  # its own memory


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"plain", "gzip"),
        (idx((2, 3), range(6))[:20], "gzip"),
        (gzip.compress(b"", mtime=0), "IDX"),
        (idx((2, 3), range(6), kind=13), "IDX"),
        (idx((2, 3), range(5)), r"shape \[2, 3\] does not fit 5 bytes"),
        (idx((-1, -6), range(6)), "does not fit"),
        (gzip.compress(bytes([0, 0, 8, 200]), mtime=0), "IDX"),
    ],
)
def test_broken_idx(content, message, tmp_path):
    path = tmp_path / "broken.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"broken.gz.*{message}"):
        datasets.read_idx(path)
