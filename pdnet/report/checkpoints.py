"""Which trained networks are at hand: what the stages left, what comes with the project."""

from __future__ import annotations

from pathlib import Path

from pdnet.errors import InputError
from pdnet.experiments.names import NAMES, TITLES
from pdnet.inference.shipped import WEIGHTS

MAIN = "main training"
FILE = "pdnet.safetensors"  # of every training


def checkpoints_at_hand(models: Path, results: Path) -> dict[str, Path]:
    """Title -> checkpoint, for a list to choose from.

    The main training comes first, then each seed of the ablation, the compared methods, and the
    networks that come with the project. A variant whose seeds are gone is there by its first one,
    which `results/ablation` keeps.
    """
    found = {MAIN: models / FILE}
    for name, folder in _named(NAMES, models / "ablation", results / "ablation"):
        seeds = {f"{name}, seed {path.name}": path / FILE for path in _seeds(models, folder)}
        found |= seeds or {name: folder / FILE}
    for name, folder in _named(TITLES, results / "comparison"):
        found[f"compared: {name}"] = folder / FILE
    for path in sorted(WEIGHTS.glob("*.safetensors")):
        found[f"shipped: {path.stem}"] = path
    return {title: path for title, path in found.items() if path.is_file()}


def _named(names: dict[str, str], *places: Path) -> list[tuple[str, Path]]:
    """Folders below some places by their titles; the last place that has a name wins."""
    folders: dict[str, Path] = {}
    for place in places:
        folders |= {folder.name: folder for folder in sorted(place.glob("*/"))}
    return [(names.get(name, name), folder) for name, folder in folders.items()]


def _seeds(models: Path, variant: Path) -> list[Path]:
    """Folders of a variant's trainings that still have their checkpoint."""
    trained = (path.parent for path in (models / "ablation" / variant.name).glob(f"*/{FILE}"))
    return sorted(trained, key=lambda path: (len(path.name), path.name))


def the_checkpoint(wanted: str | Path | None, at_hand: dict[str, Path], number: int = 0) -> Path:
    """A checkpoint by its title or its path.

    Args:
        wanted: None takes the one at `number` of those at hand, or the last where there are fewer.
        at_hand: of `checkpoints_at_hand`.
        number: see `wanted`.

    Raises:
        InputError: none is at hand, or the wanted one is neither a title nor a file.
    """
    if wanted is None:
        if not at_hand:
            raise InputError("no trained network at hand; `dvc repro train` makes one")
        return list(at_hand.values())[min(number, len(at_hand) - 1)]
    if str(wanted) in at_hand:
        return at_hand[str(wanted)]
    path = Path(wanted).expanduser()
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint; at hand: {', '.join(at_hand) or 'none'}")
    return path
