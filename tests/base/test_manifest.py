"""A tree is what its recipes say, whatever was there before, and nobody's file is lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pdnet.base.manifest import (
    NAME,
    Hashes,
    Unit,
    aside_of,
    bring,
    files_of,
    link_unit,
    make_room,
    read_manifest,
    recipe,
    vouch,
)
from pdnet.errors import InputError

MADE: list[str] = []


def write(root: Path, path: str, text: str) -> None:
    MADE.append(path)
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def unit(path: str, text: str = "content") -> Unit:
    return Unit((path,), recipe(text), write, (path, text))


def make(root: Path, *units: Unit) -> list[str]:
    """Brings the tree and tells what was made for it."""
    MADE.clear()
    bring(root, units, "test", workers=1)
    return sorted(MADE)


def content(root: Path) -> dict[str, bytes]:
    return {path: (root / path).read_bytes() for path in files_of(root)}


@pytest.fixture
def root(tmp_path) -> Path:
    make(tmp_path / "tree", unit("a/1"), unit("a/2"), unit("b/3"))
    return tmp_path / "tree"


def test_what_is_right_stays(root):
    assert make(root, unit("a/1"), unit("a/2"), unit("b/3")) == []


def test_a_touched_file_is_read_and_stays(root):
    os.utime(root / "a/1", (1, 1))
    vouch(root)
    assert make(root, unit("a/1"), unit("a/2"), unit("b/3")) == []


def test_another_recipe_is_made_and_what_nobody_wants_goes(root):
    assert make(root, unit("a/1", "other"), unit("a/2")) == ["a/1"]
    assert content(root) == {"a/1": b"other", "a/2": b"content"}
    assert not (root / "b").exists()


def test_a_garbled_file_is_made_again_and_what_was_there_is_set_aside(root, capsys):
    before = (root / "a/1").stat()
    (root / "a/1").write_text("CONTENT")
    os.utime(root / "a/1", ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(InputError, match="a/1: missing, or not what was made"):
        vouch(root)
    assert make(root, unit("a/1"), unit("a/2"), unit("b/3")) == ["a/1"]
    assert [file.read_text() for file in aside_of(root).rglob("1-*")] == ["CONTENT"]
    assert "a/1: changed since it was made" in capsys.readouterr().err
    vouch(root)


def test_an_edited_file_that_is_made_otherwise_or_not_at_all_is_set_aside_too(root):
    (root / "a/1").write_text("work")
    (root / "b/3").write_text("more work")
    make(root, unit("a/1", "other"), unit("a/2"))
    kept = sorted(file.read_text() for file in aside_of(root).rglob("*") if file.is_file())
    assert kept == ["more work", "work"]


def test_a_deleted_file_is_made_again(root):
    (root / "a/2").unlink()
    with pytest.raises(InputError, match="a/2"):
        vouch(root)
    assert make(root, unit("a/1"), unit("a/2"), unit("b/3")) == ["a/2"]


@pytest.mark.parametrize("place", ["mine.txt", "a/mine.txt", ".hidden", "b/3/deeper"])
def test_a_file_that_nothing_made_is_refused_before_anything_is_touched(root, place):
    if place == "b/3/deeper":
        (root / "b/3").unlink()
    (root / place).parent.mkdir(exist_ok=True)
    (root / place).write_text("mine")
    before = content(root)
    for work in (lambda: make(root, unit("a/1", "other")), lambda: vouch(root)):
        with pytest.raises(InputError, match=f"{place}: nothing here made it"):
            work()
        assert content(root) == before


def test_a_link_to_a_folder_is_not_followed(root, tmp_path):
    (tmp_path / "owner").mkdir()
    (tmp_path / "owner/file").write_text("theirs")
    (root / "c").symlink_to(tmp_path / "owner")
    with pytest.raises(InputError, match="c: nothing here made it"):
        make(root, unit("a/1"), unit("c/file"))
    assert (tmp_path / "owner/file").read_text() == "theirs"


def test_two_units_for_one_file_are_refused(tmp_path):
    with pytest.raises(InputError, match="a/1: two sources make this file"):
        make(tmp_path / "tree", unit("a/1"), unit("a/1", "other"))


def test_a_maker_that_finds_nothing_to_keep_is_not_asked_again(tmp_path):
    def nothing(root: Path) -> None:
        MADE.append("asked")

    small = Unit(("small",), recipe("small"), nothing, optional=True)
    assert make(tmp_path / "tree", small) == ["asked"]
    assert make(tmp_path / "tree", small) == []
    vouch(tmp_path / "tree")


def test_the_owners_file_is_linked_followed_and_never_moved(tmp_path):
    source, root = tmp_path / "owner.txt", tmp_path / "tree"
    for text in ("first", "second"):
        source.write_text(text)
        os.utime(source, (1, 1))  # older than everything: dates decide nothing
        hashes = Hashes(root)
        bring(root, [link_unit("x.txt", source, hashes)], "test", hashes=hashes, workers=1)
        assert content(root) == {"x.txt": text.encode()} and source.read_text() == text
        assert source.stat().st_nlink == 1
    assert not aside_of(root).exists()


def test_a_source_is_read_once_in_its_life(tmp_path, monkeypatch):
    source, root = tmp_path / "owner.txt", tmp_path / "tree"
    source.write_text("x")
    hashes = Hashes(root)
    bring(root, [link_unit("x.txt", source, hashes)], "test", hashes=hashes, workers=1)
    monkeypatch.setattr("pdnet.base.hashes.file_hash", lambda path: pytest.fail("read again"))
    hashes = Hashes(root)
    bring(root, [link_unit("x.txt", source, hashes)], "test", hashes=hashes, workers=1)


def test_a_failure_in_the_middle_goes_on_from_there(tmp_path):
    root = tmp_path / "tree"

    def fails(root: Path) -> None:
        (root / "b").write_text("half")
        raise InputError("no luck")

    broken = Unit(("b",), recipe("b"), fails)
    with pytest.raises(InputError, match="no luck"):
        make(root, unit("a"), broken, unit("c"))
    with pytest.raises(InputError, match="not finished"):
        vouch(root)
    assert make(root, unit("a"), unit("b"), unit("c")) == ["b", "c"]
    assert content(root)["b"] == b"content"


def test_a_line_cut_off_by_a_kill_is_made_again_and_other_damage_is_refused(root):
    whole = (root / NAME).read_text()
    (root / NAME).write_text(whole + '{"path": "a/1", "reci')
    assert make(root, unit("a/1"), unit("a/2"), unit("b/3")) == []
    for damaged in ("", "[]", whole.replace("{", "[", 1), whole.replace("a/1", "../outside")):
        (root / NAME).write_text(damaged)
        with pytest.raises(InputError, match=f"{NAME}: damaged"):
            make(root, unit("a/1"))
    assert (root / "a/1").exists()


def test_a_tree_without_a_manifest_is_its_owners(tmp_path):
    (tmp_path / "file").touch()
    vouch(tmp_path)
    with pytest.raises(InputError, match="nothing here made it"):
        make_room(tmp_path, ["mask.png"])
    assert (tmp_path / "file").exists()


def test_making_room_removes_what_the_last_time_named_and_no_more(tmp_path):
    root = tmp_path / "masks"
    make_room(root, ["a/1.png", "a/2.png"])
    (root / "a").mkdir()
    (root / "a/1.png").touch()
    make_room(root, ["b/1.png"])
    assert not (root / "a").exists() and set(read_manifest(root).files) >= {"b/1.png"}


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["want", "drop", "garble", "delete", "touch", "run"]),
        st.sampled_from(["a", "b", "c/d", "c/e"]),
        st.sampled_from(["one", "two"]),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(CHANGES)
def test_after_any_changes_the_tree_is_a_cold_rebuilds(tmp_path_factory, changes):
    folder = tmp_path_factory.mktemp("any")
    wanted: dict[str, str] = {}
    for what, path, text in changes:
        file = folder / "tree" / path
        if what == "want":
            wanted[path] = text
        elif what == "drop":
            wanted.pop(path, None)
        elif what == "garble" and file.exists():
            file.write_text("garbled")
        elif what == "delete":
            file.unlink(missing_ok=True)
        elif what == "touch" and file.exists():
            os.utime(file, (5, 5))
        elif what == "run":
            make(folder / "tree", *(unit(p, t) for p, t in wanted.items()))
    make(folder / "tree", *(unit(p, t) for p, t in wanted.items()))
    make(folder / "cold", *(unit(p, t) for p, t in wanted.items()))
    assert content(folder / "tree") == content(folder / "cold")


def nothing(root: Path) -> None:
    """A maker that finds nothing to keep."""


def test_what_a_maker_leaves_out_now_is_not_what_it_made_before(tmp_path):
    root = tmp_path / "tree"
    make(root, unit("small"))
    make(root, Unit(("small",), recipe("other"), nothing, optional=True))
    assert content(root) == {}
    (root / "small").write_text("mine")
    make(root, Unit(("small",), recipe("other"), nothing, optional=True))
    assert content(root) == {} and len(list(aside_of(root).rglob("small-*"))) == 1


@pytest.mark.parametrize("first, then", [("c/d", "c"), ("c", "c/d")])
def test_a_file_takes_a_folders_place_even_after_a_failure(tmp_path, first, then):
    root = tmp_path / "tree"

    def fails(root: Path) -> None:
        raise InputError("no luck")

    make(root, unit(first))
    with pytest.raises(InputError, match="no luck"):
        make(root, Unit((then,), recipe("x"), fails))
    make(root, unit(then))
    assert content(root) == {then: b"content"}


@pytest.mark.parametrize("wanted", [True, False])
def test_an_empty_folder_in_a_files_place_is_no_obstacle(root, wanted):
    (root / "a/1").unlink()
    (root / "a/1").mkdir()
    make(root, *([unit("a/1")] if wanted else []), unit("a/2"))
    assert (root / "a/1").is_file() == wanted


def test_a_source_that_changes_while_it_is_read_is_not_vouched_for(tmp_path):
    source, root = tmp_path / "owner.txt", tmp_path / "tree"
    source.write_text("A")

    def copies(root: Path) -> None:
        source.write_text("B")
        (root / "x").write_text(source.read_text())
        source.write_text("A")

    hashes = Hashes(root)
    units = [Unit(("x",), recipe(hashes.of(source)), copies)]
    with pytest.raises(InputError, match="owner.txt: changed while it was read"):
        bring(root, units, "test", hashes=hashes, workers=1)
    with pytest.raises(InputError, match="not finished"):
        vouch(root)


def test_a_source_that_is_gone_is_one_line(tmp_path):
    source, root = tmp_path / "owner.txt", tmp_path / "tree"
    source.write_text("A")
    hashes = Hashes(root)
    units = [link_unit("x", source, hashes)]
    source.unlink()
    with pytest.raises(InputError, match="no such file; was it removed meanwhile"):
        bring(root, units, "test", hashes=hashes, workers=1)


@pytest.mark.parametrize("through", ["file", "folder"])
def test_a_source_in_the_tree_itself_is_refused_before_it_is_lost(root, tmp_path, through):
    owner = tmp_path / "owner"
    if through == "file":
        owner.mkdir()
        (owner / "1").symlink_to(root / "a/1")
    else:
        owner.symlink_to(root / "a")
    with pytest.raises(InputError, match="which is made from it; nothing was touched"):
        link_unit("a/1", owner / "1", Hashes(root))
    assert (root / "a/1").read_text() == "content"


def test_a_pipe_is_no_source(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe: cannot be read"):
        Hashes(tmp_path / "tree").of(tmp_path / "pipe")


@pytest.mark.parametrize("path", ["", ".", "a\\u0000b", "\\ud800", NAME])
def test_a_path_that_no_tree_has_is_refused(root, path):
    whole = (root / NAME).read_text()
    (root / NAME).write_text(whole.replace('"a/1"', f'"{path}"'))
    with pytest.raises(InputError, match=f"{NAME}: damaged"):
        make(root, unit("a/2"))


def test_a_link_to_a_folder_is_a_stranger_though_a_manifest_names_it(root, tmp_path):
    (tmp_path / "owner").mkdir()
    (tmp_path / "owner/file").write_text("theirs")
    (root / "a/1").unlink()
    (root / "a/1").symlink_to(tmp_path / "owner")
    whole = (root / NAME).read_text()
    (root / NAME).write_text(whole.replace('"a/2"', '"a/1/file"'))
    with pytest.raises(InputError, match="nothing here made it"):
        make(root, unit("b/3"))
    assert (tmp_path / "owner/file").read_text() == "theirs"


def test_a_name_of_an_earlier_time_is_somebody_elses_later(tmp_path):
    root = tmp_path / "masks"
    make_room(root, ["a.png"])
    make_room(root, ["b.png"])
    (root / "a.png").write_text("mine")
    with pytest.raises(InputError, match="a.png: nothing here made it"):
        make_room(root, ["c.png"])


def test_a_link_of_ours_goes_when_its_owner_puts_a_folder_in_the_files_place(tmp_path):
    source, root = tmp_path / "owner.txt", tmp_path / "tree"
    source.write_text("A")
    make(root, link_unit("x", source, Hashes(root)), unit("y"))
    source.unlink()
    source.mkdir()
    (source / "file").write_text("theirs")
    make(root, unit("y"))
    assert content(root) == {"y": b"content"} and (source / "file").read_text() == "theirs"
