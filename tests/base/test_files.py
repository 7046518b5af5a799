"""Files that are whole or not there, tables, hashes."""

from __future__ import annotations

import hashlib
import os

import numpy as np
import pytest

from pdnet.base.files import (
    file_hash,
    link,
    need,
    write_atomically,
    write_image,
    write_table,
    write_text,
)
from pdnet.errors import InputError


def test_a_table_has_the_columns_of_all_rows_in_order_of_appearance(tmp_path):
    path = tmp_path / "new folder" / "table.csv"
    write_table(path, [{"b": 1, "a": "x, y"}, {"a": 2, "c": 3}])
    assert path.read_bytes() == b'b,a,c\n1,"x, y",\n,2,3\n'


def test_the_hash_is_sha256_of_the_bytes(tmp_path):
    path = tmp_path / "bytes"
    path.write_bytes(b"abc" * 100_000)  # more than a block
    assert file_hash(path) == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_a_needed_file_is_itself_and_a_missing_one_names_the_command_that_makes_it(tmp_path):
    path = tmp_path / "here"
    path.touch()
    assert need(path) == path
    with pytest.raises(InputError, match="gone: missing; `dvc repro` makes it"):
        need(tmp_path / "gone")
    with pytest.raises(InputError):
        need(tmp_path)  # a folder is no file


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "kept.txt"
    path.write_text("old")

    def half(temporary):
        temporary.write_text("ne")
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match="No space left on device"):
        write_atomically(path, half)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_file_has_the_rights_that_the_umask_leaves(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "new.txt", "x")
        write_image(tmp_path / "mask.png", np.zeros((2, 2), np.uint8))
    finally:
        os.umask(before)
    for file in tmp_path.iterdir():
        assert file.stat().st_mode & 0o777 == 0o666 & ~umask, file


def test_what_is_written_over_a_link_does_not_reach_what_it_leads_to(tmp_path):
    (tmp_path / "owner.txt").write_text("theirs")
    (tmp_path / "link.txt").symlink_to(tmp_path / "owner.txt")
    write_text(tmp_path / "link.txt", "ours")
    assert (tmp_path / "owner.txt").read_text() == "theirs"
    assert (tmp_path / "link.txt").read_text() == "ours"


def test_a_link_is_never_a_hard_one(tmp_path):
    (tmp_path / "owner.txt").write_text("theirs")
    for _ in range(2):
        link(tmp_path / "owner.txt", tmp_path / "folder" / "ours.txt")
        assert (tmp_path / "folder/ours.txt").read_text() == "theirs"
        assert (tmp_path / "owner.txt").stat().st_nlink == 1
