"""Clips as moving pictures: what was hit, missed and taken for people, frame after frame."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
from PIL import Image

from pdnet.base.files import write_atomically
from pdnet.data.images import read_frame, read_mask
from pdnet.data.layout import Clip, read_tree
from pdnet.data.overlays import overlay_errors
from pdnet.metrics.evaluator import read_prediction

if TYPE_CHECKING:
    from IPython.display import HTML

HEIGHT = 216  # pixels of a video
MILLISECONDS = 167  # a frame: every fifth of 30 a second is annotated
QUALITY = 60  # of WebP, of 100


def clip_video(clip: Clip, masks: Path) -> bytes:
    """An animated WebP of a clip's annotated frames with the errors of its masks; the same masks
    give the same bytes.

    Args:
        clip: with its truth.
        masks: folder of predictions, `<clip>/<frame>.png`.
    """
    pictures = []
    for stem in clip.frames:
        frame, truth = read_frame(clip.frame(stem)), read_mask(clip.mask(stem))
        found = read_prediction(masks / clip.name / f"{stem}.png", truth.shape)
        size = (round(HEIGHT * frame.shape[1] / frame.shape[0]), HEIGHT)
        picture = overlay_errors(frame, found, truth)
        pictures.append(Image.fromarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA)))
    stream = io.BytesIO()
    how = {"duration": MILLISECONDS, "loop": 0, "quality": QUALITY, "method": 4}
    pictures[0].save(stream, "WEBP", save_all=True, append_images=pictures[1:], **how)
    return stream.getvalue()


def show_videos(
    data: Path, masks: Path, folder: Path | str | None, *, set_name: str = "val"
) -> HTML:
    """Every clip of a split side by side; with a folder also as `<clip>.webp`, slashes in names
    turned into hyphens.
    """
    from IPython.display import HTML

    shown = []
    for clip in read_tree(data).clips(set_name):
        content = clip_video(clip, masks)
        if folder is not None:
            path = Path(folder) / f"{clip.name.replace('/', '-')}.webp"
            write_atomically(path, lambda place, content=content: place.write_bytes(content))
        name = html.escape(clip.name, quote=True)
        source = f"data:image/webp;base64,{base64.b64encode(content).decode()}"
        said = f"the clip {name} with hits in green, misses in orange and false people in pink"
        picture = f'<img alt="{said}" style="max-width: 100%" src="{source}">'
        shown.append(
            f'<figure style="display: inline-block; margin: 4px">{picture}'
            f"<figcaption>{name}</figcaption></figure>"
        )
    return HTML("\n".join(shown))
