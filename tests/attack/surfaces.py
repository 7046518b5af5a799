"""Every way in, and its share of the cases."""

from __future__ import annotations

from tests.attack import arrivals, files, pictures, writes
from tests.attack.core import Surface

SURFACES: dict[str, tuple[Surface, float]] = {
    "evaluate": (pictures.evaluate, 25),
    "segment": (pictures.segment, 6),
    "parameters": (files.params, 12),
    "scene scripts": (files.scenes, 4),
    "checkpoints": (files.checkpoint, 8),
    "training states": (files.state, 8),
    "authors' files": (files.official, 0.5),
    "manifests": (files.manifest, 8),
    "odd places": (files.odd_places, 3),
    "archives": (arrivals.archive, 8),
    "COCO annotations": (arrivals.coco, 8),
    "owners' trees": (arrivals.tree, 4),
    "trees of people": (arrivals.people, 4),
    "faults in a tree": (writes.tree_faults, 8),
    "faults in a file": (writes.file_faults, 5),
}
