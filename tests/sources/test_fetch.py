"""Archives: fetched in pieces, never unpacked outside their folder."""

from __future__ import annotations

import io
import tarfile
import zipfile

import numpy as np
import pytest

from pdnet.errors import InputError
from pdnet.sources.fetch import fetch, file_hash, unpack
from tests.helpers import Server


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
