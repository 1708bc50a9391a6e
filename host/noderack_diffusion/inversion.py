"""Textual inversions: files of learned vectors, in every form of the field, by text tower."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from noderack_diffusion.errors import FileError
from noderack_diffusion.store import Store

EXTENSIONS = ("", ".safetensors", ".pt", ".bin")
"""What is tried after a name, in this order."""

TOWER_KEYS: Mapping[str, str] = {"l": "clip_l", "g": "clip_g", "h": "clip_h"}
"""What a file calls the vectors of each tower."""

BUNDLE = "bundle_emb."


def find_embedding(folders: "tuple[Path, ...] | list[Path]", name: str) -> Path | None:
    """The file of an embedding's name under ``folders`` (sub-folders by ``sub/name``); never one outside
    them.
    """
    for folder in folders:
        root = folder.resolve()
        for extension in EXTENSIONS:
            path = (root / f"{name}{extension}").resolve()
            if path.is_relative_to(root) and path.is_file():
                return path
    return None


def read_embedding(path: Path) -> dict[str, Tensor]:
    """The tensors ``[n, width]`` of a file, by the name they have there. Pickles are read without their
    code.
    """
    if path.suffix == ".safetensors":
        store = Store.open(path)
        found: Any = {name: store.tensor(name).clone() for name in store.header}
    else:
        found = _unpickled(path)
    vectors = {name: _rows(tensor) for name, tensor in _tensors(found) if tensor.is_floating_point()}
    if not vectors:
        raise FileError(f"{path.name} holds no vectors of a textual inversion")
    return vectors


def _unpickled(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as cause:  # torch raises many kinds; all mean the same here
        raise FileError(
            f"cannot read {path.name} ({type(cause).__name__}); pickled files are read without running "
            "their code, so convert this one to safetensors"
        ) from cause


def _tensors(found: Any) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a file, those under A1111's ``string_to_param`` first."""
    if isinstance(found, (list, tuple)):
        for i, part in enumerate(found):
            yield from ((f"{i}.{name}", tensor) for name, tensor in _tensors(part))
    elif isinstance(found, Mapping):
        if isinstance(found.get("string_to_param"), Mapping):
            yield from _tensors(found["string_to_param"])
            return
        for name, value in found.items():
            if isinstance(value, Tensor):
                yield str(name), value
            elif isinstance(value, Mapping):
                yield from _tensors(value)


def _rows(tensor: Tensor) -> Tensor:
    return tensor.detach().reshape(-1, tensor.shape[-1]).float()


def vectors_for(vectors: Mapping[str, Tensor], tower: str, width: int) -> Tensor | None:
    """A tower's share of a file: its own key, else the tensors of its width, joined where a list holds
    several.

    None if nothing in the file is as wide as the tower.
    """
    own = vectors.get(TOWER_KEYS.get(tower, tower))
    if own is not None:
        return own if own.shape[-1] == width else None
    others = set(TOWER_KEYS.values())
    fitting = [t for name, t in vectors.items() if t.shape[-1] == width and name not in others]
    listed = [name for name in vectors if name.partition(".")[0].isdigit()]
    if not fitting:
        return None
    return torch.cat(fitting) if listed else fitting[0]


def bundled(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The embeddings that travel in an adapter file (``bundle_emb.<name>.<key>``), by name."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(BUNDLE):
            trigger, _, key = name.removeprefix(BUNDLE).partition(".")
            found.setdefault(trigger, {})[key.rpartition(".")[2] if "string_to_param" in key else key] = (
                _rows(tensor)
            )
    return found


class WithBundles:
    """The embeddings of adapter files that are loaded, then others."""

    def __init__(
        self,
        bundles: Mapping[str, Mapping[str, Tensor]],
        others: "Callable[[str, str, int], Tensor | None] | None",
    ) -> None:
        self._bundles, self._others = bundles, others

    def __call__(self, name: str, tower: str, width: int) -> Tensor | None:
        """The vectors of ``embedding:name`` for a tower."""
        own = self._bundles.get(name)
        if own is not None:
            return vectors_for(own, tower, width)
        return None if self._others is None else self._others(name, tower, width)


class Inversions:
    """Textual inversions of some folders, as ``Clip.embeddings`` wants them: read once each, by name and
    tower.
    """

    def __init__(self, folders: "tuple[Path, ...] | list[Path]") -> None:
        self._folders = tuple(folders)
        self._read: dict[Path, dict[str, Tensor]] = {}

    def __call__(self, name: str, tower: str, width: int) -> Tensor | None:
        """The vectors of ``embedding:name`` for a tower, or None if there is no such file."""
        path = find_embedding(self._folders, name)
        if path is None:
            return None
        if path not in self._read:
            self._read[path] = read_embedding(path)
        return vectors_for(self._read[path], tower, width)
