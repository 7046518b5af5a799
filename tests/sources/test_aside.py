"""A profile that is left and taken up again finds its data as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdnet.base.lock import only_writer
from pdnet.errors import InputError
from pdnet.sources.aside import take_over


@pytest.fixture
def trees(tmp_path) -> list[Path]:
    return [tmp_path / "raw", tmp_path / "480p"]


def fill(trees: list[Path], what: str) -> None:
    for tree in trees:
        tree.mkdir(exist_ok=True)
        (tree / "file").write_text(what)


def held(trees: list[Path]) -> list[str | None]:
    files = [tree / "file" for tree in trees]
    return [file.read_text() if file.is_file() else None for file in files]


def test_each_profile_finds_its_own_data_and_no_other(trees, tmp_path):
    aside = tmp_path / "kept"
    take_over("sample", "sample", trees, aside)
    fill(trees, "sample")
    for profile in ("davis", "a/b", ".."):
        take_over(profile, profile, trees, aside)
        assert held(trees) == [None, None]
        fill(trees, profile)
    for profile in ("davis", "sample", "..", "a/b", "a/b"):
        take_over(profile, profile, trees, aside)
        assert held(trees) == [profile, profile]
    assert {path.name for path in tmp_path.iterdir()} == {"raw", "480p", "kept"}


def test_a_profile_that_asks_for_the_same_takes_it_as_it_is(trees, tmp_path):
    aside = tmp_path / "kept"
    take_over("sample", "people", trees, aside)
    fill(trees, "people")
    take_over("comparison", "people", trees, aside)
    assert held(trees) == ["people", "people"]
    take_over("casts", "casts", trees, aside)
    assert held(trees) == [None, None]
    take_over("comparison", "others", trees, aside)  # by now it wants something else
    assert held(trees) == ["people", "people"]


def test_a_profile_with_data_of_its_own_leaves_the_others_alone(trees, tmp_path):
    aside = tmp_path / "kept"
    for profile in ("sample", "comparison"):
        take_over(profile, profile, trees, aside)
        fill(trees, profile)
    take_over("sample", "people", trees, aside)
    take_over("comparison", "people", trees, aside)
    assert held(trees) == ["comparison", "comparison"]


def test_data_that_was_there_before_belongs_to_the_profile_at_work(trees, tmp_path):
    fill(trees, "old")
    take_over("sample", "sample", trees, tmp_path / "kept")
    assert held(trees) == ["old", "old"]


@pytest.mark.parametrize("done", range(4))
def test_a_kill_in_between_loses_nothing(trees, tmp_path, monkeypatch, done):
    aside = tmp_path / "kept"
    take_over("sample", "sample", trees, aside)
    fill(trees, "sample")
    take_over("davis", "davis", trees, aside)
    fill(trees, "davis")
    rename, left = Path.rename, [done]

    def dies(self: Path, target: Path) -> Path:
        if "kept" not in f"{self} {target}":
            return rename(self, target)
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", dies)
    with pytest.raises(KeyboardInterrupt):
        take_over("sample", "sample", trees, aside)
    monkeypatch.undo()
    take_over("sample", "sample", trees, aside)
    assert held(trees) == ["sample", "sample"]
    take_over("davis", "davis", trees, aside)
    assert held(trees) == ["davis", "davis"]


def test_data_that_somebody_writes_to_stays(trees, tmp_path):
    aside = tmp_path / "kept"
    take_over("sample", "sample", trees, aside)
    fill(trees, "sample")
    with only_writer(trees[1]), pytest.raises(InputError, match="in use by"):
        take_over("davis", "davis", trees, aside)
    assert held(trees) == ["sample", "sample"]
