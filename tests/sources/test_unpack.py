"""Archives: unpacked whole or not at all, never outside their folder."""

from __future__ import annotations

import io
import os
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from pdnet.errors import InputError
from pdnet.sources import unpack
from pdnet.sources.unpack import unpacked

CONTENT = {"a/one.bin": np.random.default_rng(0).bytes(50_000), "a/b/two.txt": b"two" * 1000}
TARS = {"plain.tar": "w", "gzip.tar.gz": "w:gz", "bzip.tar.bz2": "w:bz2", "xz.tar.xz": "w:xz"}


def zipped(path: Path, content: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, *entries: tarfile.TarInfo, content: bytes = b"", mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for entry in entries:
            archive.addfile(entry, io.BytesIO(content))
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, **more) -> tarfile.TarInfo:
    result = tarfile.TarInfo(name)
    result.type, result.size = kind, size
    for key, value in more.items():
        setattr(result, key, value)
    return result


def sound(folder: Path, name: str) -> Path:
    """An archive of CONTENT; its name says which kind."""
    if name.endswith(".zip"):
        return zipped(folder / name, {"empty/": b"", **CONTENT})
    with tarfile.open(folder / name, TARS[name]) as archive:
        archive.addfile(entry("./", tarfile.DIRTYPE))
        archive.addfile(entry("empty", tarfile.DIRTYPE))
        for path, data in CONTENT.items():
            archive.addfile(entry(path, size=len(data)), io.BytesIO(data))
    return folder / name


def refuse(archive: Path, folder: Path) -> str:
    """The one line that refuses an archive; nothing is left of it."""
    with pytest.raises(InputError) as error:
        unpacked(archive, folder)
    assert "\n" not in str(error.value) and not list(folder.iterdir())
    return str(error.value)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", ["deflated.zip", *TARS])
def test_an_archive_becomes_a_folder_named_by_its_content(tmp_path, name):
    archive = sound(tmp_path, name)
    folder = unpacked(archive, tmp_path / "out")
    assert files(folder) == CONTENT and (folder / "empty").is_dir()
    (folder / "a/b/two.txt").write_bytes(b"mine")
    assert unpacked(archive, tmp_path / "out") == folder and files(folder) != CONTENT
    other = zipped(tmp_path / "other.zip", {"x": b"1"})
    assert files(unpacked(other, tmp_path / "out")) == {"x": b"1"}


@pytest.mark.parametrize("name", ["deflated.zip", *TARS])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.99])
def test_an_archive_that_was_cut_off_is_refused(tmp_path, name, share):
    archive = sound(tmp_path, name)
    data = archive.read_bytes()
    # a plain tar ends with blocks of zeros, which may be missing
    end = len(data.rstrip(b"\0")) if name == "plain.tar" else len(data)
    archive.write_bytes(data[: int(share * end)])
    assert "not a sound archive" in refuse(archive, tmp_path / "out")


@pytest.mark.parametrize("name", ["deflated.zip", *TARS])
def test_a_flipped_byte_is_one_line_or_does_no_harm(tmp_path, name):
    archive = sound(tmp_path, name)
    data = bytearray(archive.read_bytes())
    draw = np.random.default_rng(0)
    places = {*draw.integers(0, len(data), 30), *range(0, 600, 11), *range(-300, 0, 7)}
    for place in places:
        data[place] ^= 0xFF
        archive.write_bytes(data)
        try:
            unpacked(archive, tmp_path / "out")
        except InputError as error:
            assert "\n" not in str(error)
        data[place] ^= 0xFF
    # a byte of a compressed file: its checksum tells
    data[len(data) // 2] ^= 0xFF
    archive.write_bytes(data)
    if name != "plain.tar":
        assert "not a sound archive" in refuse(archive, tmp_path / "damaged")


def test_an_encrypted_zip_and_an_unknown_method_are_refused(tmp_path):
    data = zipped(tmp_path / "x.zip", {"a": b"secret"}).read_bytes()
    # flags and method of the local header, then those of the directory
    for name, offsets, value in (("locked.zip", (6, 8), 1), ("method.zip", (8, 10), 96)):
        changed = bytearray(data)
        for start, offset in zip((0, data.index(b"PK\1\2")), offsets, strict=True):
            struct.pack_into("<H", changed, start + offset, value)
        (tmp_path / name).write_bytes(changed)
        assert "not a sound archive" in refuse(tmp_path / name, tmp_path / "out")


@pytest.mark.parametrize(
    "name", ["../outside.txt", "/outside.txt", "a\\..\\..\\outside.txt", "C:/x"]
)
def test_an_entry_that_leads_out_refuses_the_whole_archive(tmp_path, name):
    zipped(tmp_path / "bad.zip", {"fine.txt": b"x", name: b"x"})
    tarred(tmp_path / "bad.tar", entry("fine.txt"), entry(name))
    for archive in ("bad.zip", "bad.tar"):
        assert "leads out" in refuse(tmp_path / archive, tmp_path / "folder/deeper")
    assert not (tmp_path / "outside.txt").exists() and not Path("/outside.txt").exists()


def test_links_and_devices_are_refused(tmp_path):
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        archive = tarred(tmp_path / "x.tar", entry("fine"), entry("odd", kind, linkname="fine"))
        assert "link or a device" in refuse(archive, tmp_path / "out")
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert "link or a device" in refuse(tmp_path / "x.zip", tmp_path / "out")


def test_a_second_file_of_the_same_name_is_refused(tmp_path):
    for names in (("a", "a"), ("a", "a/b"), ("a/b", "a")):
        archive = tarred(tmp_path / "x.tar", *map(entry, names))
        assert "cannot be unpacked" in refuse(archive, tmp_path / "out")


def test_a_bomb_is_refused_before_it_fills_the_disk(tmp_path, monkeypatch):
    zeros = zipped(tmp_path / "zeros.zip", {"fine": b"x", "zeros": bytes(3_000_000)})
    plain = tarred(tmp_path / "many.tar.xz", *(entry(str(i)) for i in range(50)), mode="w:xz")
    huge = tarfile.TarInfo("huge")
    huge.size = 1 << 50
    (tmp_path / "huge.tar").write_bytes(huge.tobuf() + bytes(10_000))
    assert "unpacks to more than" in refuse(tmp_path / "huge.tar", tmp_path / "out")
    assert len(files(unpacked(zeros, tmp_path / "sound"))) == 2
    monkeypatch.setattr(unpack, "MOST_BYTES", 1_000_000)
    monkeypatch.setattr(unpack, "MOST_FILES", 40)
    for archive in (zeros, plain):
        assert "unpacks to more than" in refuse(archive, tmp_path / "out")


def test_headers_that_fill_the_memory_or_never_end_are_refused(tmp_path):
    long = entry("long", tarfile.XHDTYPE, size=1 << 33)
    negative = entry("a", pax_headers={"size": "-1024"})
    chain = b"".join(entry("x", tarfile.XHDTYPE).tobuf() for _ in range(2000))
    bad = {"long": long.tobuf() + bytes(10_000), "chain": chain + bytes(1024)}
    bad["negative"] = negative.tobuf(tarfile.PAX_FORMAT) + bytes(2048)
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
        assert "not a sound archive" in refuse(tmp_path / name, tmp_path / "out")


def test_what_is_no_archive_is_refused(tmp_path):
    texts = {
        "empty": b"",
        "text": b"<html>404</html>" * 100,
        "gzip": zlib.compress(b"x"),
        "pk": b"PK",
    }
    for name, data in texts.items():
        (tmp_path / name).write_bytes(data)
        assert "not a sound archive" in refuse(tmp_path / name, tmp_path / "out")


def test_a_kill_leaves_nothing_half(tmp_path):
    archive = sound(tmp_path, "deflated.zip")
    pid = os.fork()
    if pid == 0:  # killed within the second file
        monkey = unpack.shutil.copyfileobj
        unpack.shutil.copyfileobj = lambda source, target, length: (
            os._exit(9) if "two" in target.name else monkey(source, target, length)
        )
        try:
            unpacked(archive, tmp_path / "out")
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    assert all(path.name.startswith(".") for path in (tmp_path / "out").iterdir())
    folder = unpacked(archive, tmp_path / "out")
    assert files(folder) == CONTENT and list((tmp_path / "out").iterdir()) == [folder]
