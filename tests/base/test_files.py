"""Files that are whole or not there, tables, hashes."""

from __future__ import annotations

import hashlib

import pytest

from pdnet.base.files import file_hash, need, write_atomically, write_table
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
