"""The network that comes with the project: where it is, what it may be used for, how one is made.

It is found in `pdnet/weights/` of a clone and of an installed wheel alike.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pdnet.base.files import write_atomically
from pdnet.base.origin import git_commit
from pdnet.base.parameters_file import shown
from pdnet.config import CHECKPOINT, EvaluateConfig, checked
from pdnet.errors import InputError
from pdnet.model.checkpoint import load_mean, packed, read_header

WEIGHTS = Path(__file__).parent.parent / "weights"
# trained on photographs and clips of real people, whose terms it inherits; or on what is free of
# any terms alone
PEOPLE, FREE = "people", "free"
MOST_BYTES = 10_000_000  # of a shipped file: a clone and a wheel carry it
REQUIRED = ("data", "terms")  # notes without which nobody may use it
CUTTING = (
    "threshold",
    "people",
    "look",
)  # what the note `segment` may hold, as `evaluate` has them


def shipped(name: str = PEOPLE) -> Path:
    """The file of a shipped network.

    Raises:
        InputError: this copy of the project has none of that name.
    """
    path = WEIGHTS / f"{name}.safetensors"
    if not path.is_file():
        raise InputError(
            f"{path}: this copy of the project comes without this network; `dvc repro train` makes "
            "one, or give --checkpoint"
        )
    return path


def network_at_hand(named: Path | None = None) -> Path:
    """The checkpoint that is meant.

    Args:
        named: a file, or the name of a shipped network where no file has it; None takes the one of
            real people, and where none is shipped what the training leaves.

    Raises:
        InputError: this copy of the project comes without the named one.
    """
    if named is not None:
        by_name = str(named) in (PEOPLE, FREE) and not named.exists()
        return shipped(str(named)) if by_name else named
    try:
        return shipped()
    except InputError:
        return CHECKPOINT


def terms_of(about: Mapping[str, Any]) -> str:
    """One line: what a checkpoint may be used for, by its header."""
    terms = about.get("terms")
    return shown(terms, 200) if isinstance(terms, str) and terms.strip() else "no terms noted"


def cutting_of(about: Mapping[str, Any], where: Path) -> EvaluateConfig:
    """How a checkpoint's probabilities become masks: the note `segment` in its header, which was
    chosen on validation clips, else the defaults. Only threshold, people and look are of use.

    Raises:
        InputError: the note holds something else.
    """
    values = about.get("segment", {})
    if not isinstance(values, dict) or not set(values) <= set(CUTTING):
        raise InputError(
            f"{where}: its note 'segment' is {shown(repr(values))}; expected {', '.join(CUTTING)}"
        )
    try:
        return checked("evaluate", **values)
    except InputError as error:
        raise InputError(f"{where}: its note 'segment': {shown(error, 300)}") from error


def read_notes(given: Sequence[str]) -> dict[str, Any]:
    """`key=value` texts -> notes; a value that is JSON is what it says, any other one a text.

    Raises:
        InputError: no key, a key twice, or one that the format itself uses.
    """
    notes: dict[str, Any] = {}
    for text in given:
        key, separator, value = text.partition("=")
        if not separator or not key or key in notes:
            raise InputError(f"--note {shown(text)}: expected key=value, each key once")
        if key in ("format", "model", "weights"):
            raise InputError(
                f"--note {shown(text)}: '{key}' is the format's own; call it otherwise"
            )
        try:
            notes[key] = json.loads(value)
        except (ValueError, RecursionError):
            notes[key] = value
    return notes


def ship(
    checkpoints: Sequence[Path], out: Path, notes: Mapping[str, Any], *, side: int | None = None
) -> int:
    """Writes a checkpoint in half precision, fit to be shipped.

    Args:
        checkpoints: of a trained network, or of several whose mean it is; the first one's notes are
            kept.
        out: a .safetensors file; replaced.
        notes: more of them: `data` (which data sets), `terms`, `segment`, figures. `commit` is
            that of the working tree unless it is given.
        side: of the square input at use; None leaves that of the training. A convolutional network
            finds what is smaller in a larger input, for more work.

    Returns:
        its bytes.

    Raises:
        InputError: see `load_mean`; no such `side`; a required note is missing, or the file
            would be larger than `MOST_BYTES`. Nothing is written then.
    """
    checkpoint = checkpoints[0]
    about = read_header(checkpoint)
    kept = {key: value for key, value in about.items() if key not in ("format", "model", "weights")}
    every = {"commit": git_commit(), **kept, **notes}
    missing = [name for name in REQUIRED if not every.get(name)]
    if missing:
        raise InputError(
            f"{checkpoint}: its header says nothing of '{missing[0]}'; give --note "
            f"{missing[0]}=..., so that everybody knows what the network may be used for"
        )
    cutting_of(every, checkpoint)
    network = load_mean(checkpoints)
    if side is not None:
        model = {**network.config.model_dump(), "input_size": (side, side)}
        network.config = checked("model", **model)
    content = packed(network, every, half=True)
    if len(content) > MOST_BYTES:
        raise InputError(
            f"{checkpoint}: {len(content) / 1e6:.1f} MB in half precision, more than the "
            f"{MOST_BYTES / 1e6:.0f} MB that are shipped; take a smaller backbone"
        )
    write_atomically(out, lambda temporary: temporary.write_bytes(content))
    return len(content)
