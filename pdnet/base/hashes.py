"""Hashes of files that trees are made from, kept in the manifests of those trees."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pdnet.base.files import file_hash
from pdnet.base.ledger import Signature, file_signature, read_manifest, signature
from pdnet.base.parallel import cores
from pdnet.errors import InputError


class Hashes:
    """SHA-256 of files that a tree is made from; an unchanged file is read once in its life.

    Args:
        root: of the tree, in whose manifest the hashes are kept.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.known = os.path.realpath(root), read_manifest(root).sources
        self._folders: dict[str, str] = {}
        self.used: dict[str, tuple[str, Signature]] = {}

    def learn(self, paths: Iterable[Path]) -> None:
        """Reads what is new or changed, on all cores."""
        # threads wait for each other where there is little to read
        unread = []
        for path in paths:
            self._refuse_own(path)
            if not self._recall(path):
                unread.append(path)
        with ThreadPoolExecutor(cores()) as pool:
            list(pool.map(self.of, unread))

    def changed(self) -> list[str]:
        """The sources that are no longer what was read."""
        return [name for name, (_, known) in self.used.items() if file_signature(name) != known]

    def _refuse_own(self, path: Path) -> None:
        """What is made from itself would be lost when it is made anew."""
        folder = os.path.dirname(os.path.abspath(path))
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        place = os.path.realpath(path) if os.path.islink(path) else self._folders[folder]
        if place == self.root or place.startswith(self.root + os.sep):
            raise InputError(
                f"{path}: lies in {self.root}, which is made from it; nothing was touched"
            )

    def _recall(self, path: Path) -> bool:
        """Takes the hash that is known over if the file is as it was."""
        name = os.path.abspath(path)
        stored = self.known.get(name)
        if stored is None or file_signature(name) != stored[1]:
            return False
        self.used[name] = stored
        return True

    def of(self, path: Path) -> str:
        """The hash of a file.

        Raises:
            InputError: it cannot be read, is no file, or lies in the tree that is made from it.
        """
        name = os.path.abspath(path)
        if name in self.used or self._recall(path):
            return self.used[name][0]
        self._refuse_own(path)
        try:
            # before it is read: a change meanwhile is a change
            now = signature(path)
            if not os.path.isfile(name):
                raise OSError(errno.EINVAL, "no file")  # a pipe or a device may never end
            digest = file_hash(path)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from error
        self.used[name] = digest, now
        return digest
