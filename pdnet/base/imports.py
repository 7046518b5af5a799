"""Which of our files a module reaches through its imports: what a result depends on, computed."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from pdnet.base.files import file_hash

PACKAGE = Path(__file__).parent.parent
FREE = PACKAGE / "base"  # files, processes, tracking: cannot change a number


def imported_names(file: Path) -> Iterator[str]:
    """Dotted names that a file or a notebook imports anywhere, inside functions too, but not for
    type checkers alone.
    """
    pending: list[ast.AST] = [ast.parse(_code(file))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from pdnet.model import PDNet` may name a module or what its package holds
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        # what only a type checker sees changes no result
        skipped = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        pending += [] if skipped else ast.iter_child_nodes(node)


def _code(file: Path) -> str:
    """The text of a file; of a notebook its code cells, without lines that speak to Jupyter."""
    text = file.read_text()
    if file.suffix != ".ipynb":
        return text
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    lines = "\n".join("".join(cell["source"]) for cell in cells).splitlines()
    return "\n".join(line for line in lines if not line.startswith(("%", "!")))


def module_files(name: str, package: Path = PACKAGE) -> Iterator[Path]:
    """Files that importing `pdnet.model.PDNet` runs: the package's own `__init__` and each one
    below.
    """
    first, *rest = name.split(".")
    if first != package.name:
        return
    yield package / "__init__.py"
    place = package
    for part in rest:
        place = place / part
        if place.is_dir():
            yield place / "__init__.py"
        elif place.with_suffix(".py").is_file():
            yield place.with_suffix(".py")


def reached(entry: Path, package: Path = PACKAGE) -> set[Path]:
    """Files of the package that running `entry` can reach, itself left out.

    Those of `base/` are left out, and `__init__` files that hold a docstring alone.
    """
    seen: set[Path] = set()
    pending = [entry]
    while pending:
        for name in imported_names(pending.pop()):
            new = set(module_files(name, package)) - seen
            seen |= new
            pending += new
    free = package / "base"
    return {file for file in seen - {entry} if free not in file.parents and not only_says(file)}


def only_says(file: Path) -> bool:
    """True for an `__init__` with nothing but a docstring."""
    if file.name != "__init__.py":
        return False
    body = ast.parse(file.read_text()).body
    return not body or (len(body) == 1 and ast.get_docstring(ast.Module(body, [])) is not None)


def code_hash(*modules: str, package: Path = PACKAGE) -> str:
    """SHA-256 over the files that the named modules are and reach:
    `code_hash("pdnet.training.loop")`.
    """
    files: set[Path] = set()
    for name in modules:
        entry = list(module_files(name, package))[-1]
        files |= {entry, *reached(entry, package)}
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"{file.relative_to(package)} {file_hash(file)}\n".encode())
    return digest.hexdigest()
