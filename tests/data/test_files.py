"""Downloads, from a local server that can break off, and the folders that come before them."""

import hashlib
import logging
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from minigrad.data import datasets
from minigrad.data.datasets.files import RemoteFile, cache_dir, fetch, locate
from minigrad.errors import ChecksumError, ConfigError, DataError, MissingExtraError

CONTENT = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT, with ranges; `breaks` says how many replies stop half-way."""

    breaks = 0
    ranges = True
    content = CONTENT

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = []
        self.url = f"http://127.0.0.1:{self.server_port}/file.bin"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        if self.path != "/file.bin":
            return self.send_error(404)
        start = int(wanted.removeprefix("bytes=")[:-1]) if wanted and self.server.ranges else 0
        body = self.server.content[start:]
        if wanted and self.server.ranges and not body:
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.breaks:
            self.server.breaks -= 1
            body = body[: len(body) // 2]
        self.wfile.write(body)
        return None

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    pytest.importorskip("pooch")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """An empty cache, no local folder, and a quiet pooch."""
    monkeypatch.delenv("MINIGRAD_DATA", raising=False)
    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    logging.getLogger("pooch").setLevel(logging.ERROR)
    return tmp_path


def remote(*urls, digest=DIGEST):
    return RemoteFile("set", "file.bin", digest, urls)


def kept(folder):
    return sorted(p.name for p in (folder / "cache" / "set").glob("*"))


def test_a_download_is_cached(server, folders):
    file = remote(server.url)
    assert locate(file) is None
    path = fetch(file)
    assert path.read_bytes() == CONTENT
    assert path == locate(file) == fetch(file)
    assert server.asked == [None]
    assert kept(folders) == ["file.bin"]


def test_a_broken_download_goes_on_where_it_stopped(server, folders):
    server.breaks = 3
    with pytest.raises(DataError, match=r"no download succeeded.*put the file at .*file\.bin"):
        fetch(remote(server.url))  # two rounds
    assert kept(folders) == ["file.bin.part"]
    assert fetch(remote(server.url)).read_bytes() == CONTENT  # the third breaks, the fourth ends it
    sizes = [0 if r is None else int(r.removeprefix("bytes=")[:-1]) for r in server.asked]
    assert sizes == sorted(set(sizes))  # each asks for less than the one before
    assert sizes[1] > len(CONTENT) // 3
    assert kept(folders) == ["file.bin"]


def test_a_part_that_is_the_whole_file_is_taken(server, folders):
    part = folders / "cache" / "set" / "file.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT)
    assert fetch(remote(server.url)).read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(CONTENT)}-"]


def test_a_part_of_another_file_is_thrown_away(server, folders):
    part = folders / "cache" / "set" / "file.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"another")
    assert fetch(remote(server.url)).read_bytes() == CONTENT
    assert server.asked == ["bytes=7-", None]


def test_a_server_without_ranges_sends_all(server, folders):
    server.ranges, server.breaks = False, 1
    assert fetch(remote(server.url)).read_bytes() == CONTENT


def test_other_contents_are_refused_and_not_kept(server, folders):
    with pytest.raises(ChecksumError) as caught:
        fetch(remote(server.url, digest="0" * 64))
    assert "set/file.bin" in str(caught.value)
    assert "0" * 64 in str(caught.value)
    assert DIGEST in str(caught.value)
    assert kept(folders) == []


def test_the_next_address_is_tried(server, folders):
    file = remote(server.url.replace("file.bin", "gone"), server.url)
    assert fetch(file).read_bytes() == CONTENT


def test_no_address_answers(server, folders):
    missing = server.url.replace("file.bin", "gone")
    with pytest.raises(DataError, match=r"404.*MINIGRAD_DATA") as caught:
        fetch(remote(missing))
    assert missing in str(caught.value)
    assert not isinstance(caught.value, ChecksumError)


def test_the_local_folder_comes_first(folders, monkeypatch):
    local = folders / "local" / "set" / "file.bin"
    local.parent.mkdir(parents=True)
    local.write_bytes(CONTENT)
    monkeypatch.setenv("MINIGRAD_DATA", str(folders / "local"))
    assert fetch(remote()) == local
    local.write_bytes(CONTENT + b"!")
    found = hashlib.sha256(CONTENT + b"!").hexdigest()
    with pytest.raises(ChecksumError, match=f"expected the SHA-256 {DIGEST}, found {found}"):
        fetch(remote())
    assert local.exists()  # not ours to delete


def test_a_cached_file_is_checked_too(folders):
    cached = folders / "cache" / "set" / "file.bin"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"")
    with pytest.raises(ChecksumError, match=str(cached)):
        fetch(remote())


def test_a_wrong_folder_is_an_error(folders, monkeypatch):
    monkeypatch.setenv("MINIGRAD_DATA", str(folders / "nowhere"))
    with pytest.raises(DataError, match="nowhere is not a folder"):
        datasets.tiny_shakespeare()


def test_without_pooch_the_pip_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(MissingExtraError, match=r'pip install "minigrad\[data\]"'):
        datasets.names()


@pytest.mark.parametrize(
    ("platform", "variable", "inside"),
    [
        ("linux", "XDG_CACHE_HOME", "minigrad"),
        ("win32", "LOCALAPPDATA", "minigrad"),
        ("darwin", "HOME", "Library/Caches/minigrad"),
    ],
)
def test_cache_folder(platform, variable, inside, folders, monkeypatch):
    monkeypatch.delenv("MINIGRAD_CACHE")
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv(variable, str(folders))
    assert cache_dir() == folders / inside


@pytest.mark.parametrize(
    ("loader", "options"),
    [
        (datasets.tiny_shakespeare, {"split": "dev"}),
        (datasets.wikitext2, {"split": "all"}),
        (datasets.mnist, {"split": "valid"}),
        (datasets.ud_english_ewt, {"split": "dev"}),
        (datasets.ud_english_ewt, {"tags": "ner"}),
        (datasets.tatoeba_fra_eng, {"split": "dev"}),
        (datasets.python_reference, {"split": "test"}),
    ],
)
def test_unknown_options_are_listed(loader, options):
    (option, value), *_ = options.items()
    with pytest.raises(ConfigError, match=f"{option}='{value}': expected one of '"):
        loader(**options)
