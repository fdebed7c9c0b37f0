"""Text: characters for language models, names, and a reference manual that every Python carries."""

from __future__ import annotations

import re
from collections.abc import Callable

from minigrad.data.datasets.files import RemoteFile, choose, fetch
from minigrad.data.text import strip_accents
from minigrad.errors import DataError

__all__ = ["names", "names_by_language", "python_reference", "tiny_shakespeare", "wikitext2"]

_SHAKESPEARE = RemoteFile(
    "tinyshakespeare",
    "input.txt",
    "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    ("https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",),
)

_NAMES = RemoteFile(
    "names",
    "names.txt",
    "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d",
    ("https://raw.githubusercontent.com/karpathy/makemore/master/names.txt",),
)

_WIKITEXT_URL = (
    "https://raw.githubusercontent.com/pytorch/examples/main/word_language_model/data/wikitext-2/"
)

_WIKITEXT = {
    split: RemoteFile(
        "wikitext-2",
        f"{split}.txt",
        digest,
        (f"{_WIKITEXT_URL}{split}.txt",),
    )
    for split, digest in {
        "train": "9e9fa1ad55b1c2c95b08e37dd8e653f638fac2c6de904b79e813611eefbc985f",
        "valid": "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
        "test": "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
    }.items()
}

_LANGUAGES = {
    language: RemoteFile(
        "names_by_language",
        f"{language}.txt",
        digest,
        (
            f"https://raw.githubusercontent.com/spro/practical-pytorch/master/data/names/{language}.txt",
        ),
    )
    for language, digest in {
        "Arabic": "6f424a8dbe51cbbbabab7a57d38b617210125e4e3991f3c657cb79b8f104bafc",
        "Chinese": "09ba8f1f7e38dbc99372d461b26ad4433b811fc6bfa6a3ecca6fe11a9a777465",
        "Czech": "e17ab0ec47616a72c39cb85c783f70c3663ab64488721e5d8378f146d2226be7",
        "Dutch": "924f32b635170eae561f84538632138fc07d4c8bbd70ba3fb980de1ecc4d2af3",
        "English": "9cca037066d3d5989e24bc01801416162de506b5e28e15b7c092a47905d29bf2",
        "French": "81e65b36c60ed5b89a17422f6edcadbb89546f38ad69e960e64e7ba682012a95",
        "German": "7449cd590b97a733e18d613a4155decd77ec35dc5f8aadd7a82204dce4f051db",
        "Greek": "3555b5186de7f401e6d991b088e9e644ca3099116477818c25ab5793801389e6",
        "Irish": "cf8c7013256252a88d2503127b87282a11f21b2ff6db1bded68834c19a1ec058",
        "Italian": "f88414c27d0606a11a678b4859277828c2565d6cc4d9ee932deef6e94f3b35e4",
        "Japanese": "e0e717e114fec3e7eade4d9dabe0067c475f43147e36a22b47902ee76ad9e67f",
        "Korean": "cd54221ccb362a6cba4c78828838cf3268a0e59744767a37cf6ec4b74036b136",
        "Polish": "45bab898af2f60ed3a728bbf6980e28821011a7caa53227553b5785903a40826",
        "Portuguese": "50a8735f41f4f73757c8ce5b16cb0275cd86b2b214bcbc8c9805f508cb131c53",
        "Russian": "0cfe53ac18041e8f63666aa77313e0a3ff378facb132abee052d8ebdc8c3d62c",
        "Scottish": "78d0252711d87d948ea86fe34826c51d2d794a8e52d15b5d6f7b6244d45d62dd",
        "Spanish": "1bcb462ed3316756a85781d68232bddae04498fdddd5d9219c53fd1fbdeba7a7",
        "Vietnamese": "f3f9e4164ab47601178a6e45b216464a64122f49d05541f24bf18a757253281d",
    }.items()
}


def tiny_shakespeare(split: str = "all") -> str:
    """1.1 MB of Shakespeare's plays (public domain), 65 distinct characters.

    `split`: "all", "train" (the first 90 %) or "valid" (the last 10 %).
    """
    part = _part(split)
    return part(fetch(_SHAKESPEARE).read_text(encoding="utf-8"))


def python_reference(split: str = "all") -> str:
    """English prose without a network: Python's language reference, which its `help()` carries.

    About 240 kB of ASCII, a paragraph per line, without headings, code, tables and repetitions. It
    differs a little from one Python version to the next. `split` as for `tiny_shakespeare`.

    Raises: DataError if this Python was packaged without `pydoc_data`.
    """
    part = _part(split)
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise DataError(
            "python_reference: this Python was packaged without pydoc_data; use tiny_shakespeare()"
        ) from error
    blocks = [block for name in sorted(topics) for block in _prose(topics[name])]
    return part("\n".join(dict.fromkeys(blocks)) + "\n")


def names() -> list[str]:
    """32,033 first names in lower case, by falling frequency in the USA of 2018 (MIT licence)."""
    return fetch(_NAMES).read_text(encoding="utf-8").split()


def names_by_language() -> list[tuple[str, str]]:
    """20,050 family names, each with its language, one of 18: `(name, language)` (MIT licence).

    The classes are very unequal: 9,384 are Russian, 74 Portuguese.
    """
    return [
        (name.strip(), language)  # a blank at its end would tell some languages
        for language, file in _LANGUAGES.items()
        for name in fetch(file).read_text(encoding="utf-8").split("\n")
        if name.strip()
    ]


def wikitext2(split: str = "train") -> list[str]:
    """Wikipedia as a stream of words, `<eos>` at each line's end, `<unk>` if rare (CC BY-SA 3.0).

    `split`: "train" (2,088,628 tokens, 33,278 distinct), "valid" (217,646) or "test" (245,569).
    Source: Merity et al. 2016, "Pointer sentinel mixture models".
    """
    file: RemoteFile = choose("split", split, _WIKITEXT)
    with fetch(file).open(encoding="utf-8") as lines:
        return [word for line in lines for word in (*line.split(), "<eos>")]


def _part(split: str) -> Callable[[str], str]:
    """Cuts the text that it is given: "train" is the first 90 %, "valid" the rest."""
    first, last = choose("split", split, {"all": (0, 10), "train": (0, 9), "valid": (9, 10)})
    return lambda text: text[len(text) * first // 10 : len(text) * last // 10]


_ASCII = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "..."})


def _prose(topic: str) -> list[str]:
    """The paragraphs of a topic of `help()` that are sentences, each on one line."""
    found = []
    for block in re.split(r"\n\s*\n", topic.translate(_ASCII)):
        if re.search(r"::=|\|  |^ *[*=\-~^+]{3,}|>>>|\S {3,}\S", block, flags=re.MULTILINE):
            continue  # grammar, tables, headings, sessions
        text = " ".join(re.sub(r"(?<=\w)-\n\s*(?=\w)", "-", block).split())
        text = re.sub(r"^\* ", "", strip_accents(text)).replace("*", "")
        if re.fullmatch(r"[A-Z\"'].*[.:!?]", text) and text.isascii() and len(text.split()) >= 8:
            found.append(text)
    return found
