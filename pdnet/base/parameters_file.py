"""Parameter files: YAML that every reader reads alike, of bounded size and depth.

PyYAML reads YAML 1.1, DVC's parser YAML 1.2: `yes`, `010` and `1:30` are other values to the one
than to the other. Such values, dates, aliases, tags and names that stand twice are refused by line.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import yaml

from pdnet.errors import InputError

MOST_BYTES = 2**20  # a hundred times the project's own file
DEEPEST = 20  # levels of nesting; the project's own file has five
LONGEST_NUMBER = 40  # characters
# numbers in which YAML 1.1 and 1.2 agree, and `1e-3`, which 1.1 takes for a text
NUMBER = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
SPECIAL = re.compile(r"[-+]?\.(?:inf|nan)", re.IGNORECASE)
TEXT = "tag:yaml.org,2002:str"


def read_parameters(path: Path) -> Any:
    """Reads a parameter file as what YAML's values are in Python; names of values are texts.

    Raises:
        FileNotFoundError: there is none; the caller knows how to get it.
        InputError: it cannot be read, is too large, not UTF-8, not YAML, or holds what is refused
            (see above); the line is named.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if len(content) > MOST_BYTES:
        raise InputError(f"{path}: larger than {MOST_BYTES} bytes; this is no parameter file")
    try:
        loader = _Loader(content.decode("utf-8-sig"))
        loader.name = str(path)
        return loader.get_single_data()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{path}, line {line}: not UTF-8; save the file as UTF-8") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1
        raise InputError(f"{path}, line {line}: not YAML: {shown(error.problem)}") from error
    except yaml.reader.ReaderError as error:
        raise InputError(f"{path}: not YAML: {shown(error.reason)}") from error


def read_overrides(texts: Sequence[str]) -> dict[str, Any]:
    """Parameters as a command line gives them, in the syntax of `dvc exp run -S`: `model.parts=3`,
    `ablation.seeds=[1,2]`, `data.root=null`; `+` and `++` before a name change nothing here.

    Returns:
        value by dotted name.

    Raises:
        InputError: no name and value, or several values, which only experiments take.
    """
    if not texts:
        return {}
    # now, since it takes a quarter of a second
    from dvc.utils.hydra import to_hydra_overrides
    from hydra.errors import HydraException

    values = {}
    for text in texts:
        try:
            (override,) = to_hydra_overrides([text])
        except HydraException as error:
            raise InputError(
                f"--set {shown(text)}: expected NAME=VALUE, as model.parts=3"
            ) from error
        if override.is_delete() or override.is_sweep_override():
            raise InputError(f"--set {shown(text)}: one value of one parameter; experiments sweep")
        values[override.key_or_group] = override.value()
    return values


def shown(value: object, most: int = 100) -> str:
    """What an error quotes of a value: one line of at most `most` characters."""
    text = " ".join((value if isinstance(value, str) else str(value)).split())
    # half a character, which YAML can hold, could not be printed
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= most else text[: most - 4] + " ..."


class _Loader(yaml.SafeLoader):
    """Refuses while it reads, so that no content is too deep or too large for it."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            raise _refused(event, f"'*{shown(event.anchor)}' is an alias; write its value out")
        if event.tag:
            raise _refused(event, f"'{shown(event.tag)}' is a tag; write the value without it")
        self.depth += 1
        if self.depth > DEEPEST:
            raise _refused(event, f"nested more than {DEEPEST} levels deep")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag != TEXT:
                raise _refused(key, f"the name {_quoted(key)} is no text; put it in quotes")
            if key.value in seen:
                raise _refused(key, f"{_quoted(key)} stands twice; remove one")
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def number(self, node: yaml.ScalarNode) -> int | float:
        """An integer or a float, written so that there is one way to read it."""
        plain = NUMBER.fullmatch(node.value) or SPECIAL.fullmatch(node.value)
        if not plain or len(node.value) > LONGEST_NUMBER:
            raise _refused(
                node, f"{_quoted(node)} is a number to some readers; write it plainly or in quotes"
            )
        if node.value.lstrip("+-").isdigit():
            return int(node.value)
        return float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))

    def truth(self, node: yaml.ScalarNode) -> bool:
        """`true` or `false`; `yes`, `no`, `on` and `off` are texts in YAML 1.2."""
        if node.value.lower() not in ("true", "false"):
            readings = "is true or false to some readers, a text to others"
            raise _refused(
                node, f"{_quoted(node)} {readings}; write true or false, or put it in quotes"
            )
        return node.value.lower() == "true"

    def date(self, node: yaml.ScalarNode) -> None:
        """No parameter is a date."""
        raise _refused(node, f"{_quoted(node)} is read as a date; put it in quotes")


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.number)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.number)
_Loader.add_constructor("tag:yaml.org,2002:bool", _Loader.truth)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _Loader.date)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _quoted(node: yaml.Node) -> str:
    return f"'{shown(node.value)}'" if isinstance(node, yaml.ScalarNode) else f"of a {node.id}"


def _refused(where: yaml.Node | yaml.Event, why: str) -> InputError:
    mark = where.start_mark
    return InputError(f"{mark.name}, line {mark.line + 1}: {why}")
