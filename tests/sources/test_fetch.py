"""Archives: fetched in pieces, never unpacked outside their folder."""

from __future__ import annotations

import http.server
import io
import tarfile
import threading
import zipfile

import numpy as np
import pytest

from pdnet.errors import InputError
from pdnet.sources.fetch import fetch, file_hash, unpack


class Server(http.server.BaseHTTPRequestHandler):
    """Serves one file with ranges, and breaks off the first answer in the middle."""

    content, ranges, broken = b"", [], False

    def do_GET(self):
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        Server.ranges.append(start)
        body = self.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not Server.broken:
            Server.broken = True
            body = body[: len(body) // 2]
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    Server.ranges, Server.broken = [], False
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/davis.zip"
        running.shutdown()


def test_a_broken_download_goes_on_where_it_stopped(server, tmp_path):
    Server.content = np.random.default_rng(0).bytes(3_000_000)
    target = tmp_path / "davis.zip"
    with pytest.raises(InputError, match="run again"):
        fetch(server, target, None)
    with pytest.raises(
        InputError, match="data.sha256"
    ) as error:  # whole now, but nobody vouches for it
        fetch(server, target, None)
    assert target.read_bytes() == Server.content and Server.ranges[0] == 0 and Server.ranges[1] > 0
    assert file_hash(target) in str(error.value)
    assert fetch(server, target, file_hash(target)) == target and len(Server.ranges) == 2
    with pytest.raises(InputError, match="wrong checksum"):
        fetch(server, target, "0" * 64)
    assert not target.exists()


def test_an_archive_that_leads_out_is_refused_before_anything_is_written(tmp_path):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("fine.txt", "x")
        archive.writestr("../outside.txt", "x")
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        entry = tarfile.TarInfo("../../outside.txt")
        archive.addfile(entry, io.BytesIO(b""))
    for name in ("bad.zip", "bad.tar"):
        with pytest.raises(InputError, match="leads out"):
            unpack(tmp_path / name, tmp_path / "folder")
    assert not (tmp_path / "outside.txt").exists() and not list((tmp_path / "folder").iterdir())
