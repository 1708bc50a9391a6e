"""Textual inversions: `embedding:name` in a prompt is a file in the embeddings folder."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from noderack_host.running import current_or_none

if TYPE_CHECKING:
    from noderack_nodes.sockets import Tensor

_FOLDER = "embeddings"
log = logging.getLogger(__name__)


def embedding(name: str, tower: str, width: int) -> Tensor | None:
    """The vectors [n, width] of an embedding for the tower "l", "g" or "h", or None if no file has them."""
    from noderack_diffusion.inversion import EXTENSIONS, read_embedding, vectors_for

    path = _path([name + ending for ending in EXTENSIONS])
    if path is None and name.strip(",") != name:  # it is asked for again without the comma beside it
        return None
    if path is None:
        log.warning("the prompt names an embedding %r that models/%s does not hold", name, _FOLDER)
        return None
    return vectors_for(read_embedding(path), tower, width)


def _path(names: list[str]) -> Path | None:
    """The first of these files, in the folders themselves or anywhere below them."""
    running = current_or_none()
    folders = None if running is None else running.folders
    if folders is None:
        return None
    direct = next((path for name in names if (path := folders.find(_FOLDER, name)) is not None), None)
    if direct is not None:
        return direct
    there = folders.files(_FOLDER)
    below = (file for name in names for file in there if Path(file).name == name)
    return next((path for file in below if (path := folders.find(_FOLDER, file)) is not None), None)
