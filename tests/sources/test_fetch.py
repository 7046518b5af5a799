"""Archives: fetched in pieces, and named by their address."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from pdnet.base.files import file_hash
from pdnet.errors import InputError
from pdnet.sources.fetch import CHUNK, fetch
from tests.helpers import Server


@contextmanager
def serving(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a server whose answers are `handler`'s."""
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_a_broken_download_goes_on_where_it_stopped(server, tmp_path):
    Server.content = np.random.default_rng(0).bytes(3_000_000)
    with pytest.raises(InputError, match="run again"):
        fetch(server, tmp_path, None)
    with pytest.raises(InputError, match="data.sha256") as error:  # nobody vouches for it
        fetch(server, tmp_path, None)
    (target,) = tmp_path.iterdir()
    assert target.name.endswith("-davis.zip")
    assert target.read_bytes() == Server.content and Server.ranges[0] == 0 and Server.ranges[1] > 0
    assert file_hash(target) in str(error.value)
    assert fetch(server, tmp_path, file_hash(target)) == target and len(Server.ranges) == 2
    with pytest.raises(InputError, match="wrong checksum"):
        fetch(server, tmp_path, "0" * 64)
    assert not target.exists()


def test_a_checksum_is_of_the_kind_that_it_says(server, tmp_path):
    Server.content, Server.broken = b"content", True
    kinds = {kind: hashlib.new(kind, b"content").hexdigest() for kind in ("md5", "sha256")}
    for said in (*(f"{kind}:{found}" for kind, found in kinds.items()), kinds["sha256"].upper()):
        assert fetch(server, tmp_path, said).read_bytes() == b"content"
    assert Server.ranges == [0], "nothing is fetched twice"
    for wrong in (f"md5:{kinds['md5'][::-1]}", f"sha256:{kinds['md5']}", kinds["md5"]):
        with pytest.raises(InputError, match="wrong checksum"):
            fetch(server, tmp_path, wrong)
    assert not list(tmp_path.iterdir())


def test_another_address_is_another_archive(server, tmp_path):
    Server.content, Server.broken, found = b"first", True, {}
    for address in (server, server + "?version=2", server.replace("davis", "x/davis")):
        Server.content += b"+"
        with pytest.raises(InputError, match="data.sha256"):
            fetch(address, tmp_path, None)
        (new,) = set(tmp_path.iterdir()) - set(found)
        found[new] = Server.content
    assert all(path.read_bytes() == content for path, content in found.items())


@pytest.mark.parametrize("tail", ["", "/", "/a/..", "/%2e%2e%2f%2e%2e%2fx", "/?a=/b", "/ü" * 200])
def test_an_address_names_a_file_in_the_folder(server, tmp_path, tail):
    Server.content, Server.broken = b"content", True
    with pytest.raises(InputError, match="data.sha256"):
        fetch(server.replace("/davis.zip", tail), tmp_path / "archives", None)
    (path,) = (tmp_path / "archives").iterdir()
    assert path.read_bytes() == b"content" and list(tmp_path.iterdir()) == [path.parent]


@pytest.mark.parametrize(
    "url",
    [
        *("", "x.zip", "file:///etc/hosts", "ftp://a/b", "http://", "http://[::1", "http://a:b/"),
        *("http://" + "a" * 300, "http://127.0.0.1:9/x", "http://a\nb/"),
    ],
)
def test_an_address_that_nothing_can_be_fetched_from_is_one_line(tmp_path, url):
    with pytest.raises(InputError) as error:
        fetch(url, tmp_path, None)
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())


def test_a_file_that_changed_on_the_server_is_fetched_anew(tmp_path):
    # the block in which a connection breaks is lost
    half, size = CHUNK, 2 * CHUNK

    class Changing(http.server.BaseHTTPRequestHandler):
        state, asked = b"A", []

        def do_GET(self):
            Changing.asked.append(self.headers.get("If-Range"))
            tag, content = f'"{self.state.decode()}"', self.state * size
            same = self.headers.get("If-Range") == tag
            body = content[half:] if same else content
            self.send_response(206 if same else 200)
            self.send_header("ETag", tag)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if len(Changing.asked) > 1 else body[:half])

    with serving(Changing) as address:
        with pytest.raises(InputError, match="run again"):
            fetch(address, tmp_path, None)
        Changing.state = b"B"
        with pytest.raises(InputError, match="data.sha256"):
            fetch(address, tmp_path, None)
    (path,) = tmp_path.iterdir()
    assert path.read_bytes() == b"B" * size and Changing.asked == [None, '"A"']


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("Content-Length", value) for value in ("abc", "-5", "9" * 30)),
        *(("Location", value) for value in ("file:///etc/hosts", "http://[")),
    ],
    ids=str,
)
def test_a_strange_answer_is_one_line(tmp_path, name, value):
    class Strange(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(302 if name == "Location" else 200)
            self.send_header(name, value)
            self.end_headers()

    with serving(Strange) as address, pytest.raises(InputError, match="download stopped") as error:
        fetch(address, tmp_path, None)
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())
