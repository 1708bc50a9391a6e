"""Where a host's model files are: a table of categories, and look-ups that never leave their folders.

Source of the table: the folders that existing hosts and packs know (facts: host contract, 6.1).
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from noderack_host.folder import Host
from noderack_host.model_paths import NAME as EXTRA_NAME
from noderack_host.model_paths import ModelPath, read_model_paths

MODEL_EXTENSIONS = frozenset({".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft"})
PACKED_EXTENSIONS = MODEL_EXTENSIONS | {".gguf"}
ANY_FILE: frozenset[str] = frozenset()
FOLDERS_ONLY = frozenset({"folder"})

_SAME_NAME = (
    *("checkpoints", "loras", "vae", "clip_vision", "style_models", "embeddings", "vae_approx", "gligen"),
    *(
        "upscale_models",
        "hypernetworks",
        "photomaker",
        "model_patches",
        "audio_encoders",
        "latent_upscale_models",
    ),
    *(
        "background_removal",
        "frame_interpolation",
        "geometry_estimation",
        "optical_flow",
        "detection",
        "datasets",
    ),
)
CATEGORIES: Mapping[str, tuple[tuple[str, ...], frozenset[str]]] = {
    **{name: ((name,), MODEL_EXTENSIONS) for name in _SAME_NAME},
    "text_encoders": (("text_encoders", "clip"), PACKED_EXTENSIONS),
    "diffusion_models": (("diffusion_models", "unet"), PACKED_EXTENSIONS),
    "controlnet": (("controlnet", "t2i_adapter"), MODEL_EXTENSIONS),
    "configs": (("configs",), frozenset({".yaml"})),
    "diffusers": (("diffusers",), FOLDERS_ONLY),
    "classifiers": (("classifiers",), frozenset({""})),
}
YAML = (".yaml", ".yml")
LEGACY_NAMES = {"unet": "diffusion_models", "clip": "text_encoders"}
SAVED_TO_OUTPUT = ("checkpoints", "loras", "vae", "text_encoders", "diffusion_models")


LONGEST_NAME, LONGEST_PATH = 230, 2000  # bytes and characters; systems take 255 and 4096


@dataclass(frozen=True, slots=True)
class Category:
    """The folders of one kind of model, in the order they are searched, and the endings that count."""

    name: str
    folders: tuple[Path, ...]
    extensions: frozenset[str]

    def takes(self, path: Path) -> bool:
        """Whether a file of this name belongs here; no extensions means that any does."""
        return not self.extensions or path.suffix.lower() in self.extensions


@dataclass(frozen=True, slots=True)
class ModelFolders:
    """Every category of a host. Look-ups read the disk each time, so a new file is seen at once."""

    roots: tuple[Path, ...]
    categories: Mapping[str, Category]

    @classmethod
    def of(cls, host: Host) -> "ModelFolders":
        """The folders of `host`: models/, the further roots of host.toml, then what it saves itself.

        A model path that is a .yaml file, and extra_model_paths.yaml in the host, name folders by category.
        """
        said = [host.root / path for path in host.config.model_paths]
        roots = (host.models, *(path for path in said if path.suffix not in YAML))
        files = [host.root / EXTRA_NAME, *(path for path in said if path.suffix in YAML)]
        extra = [path for file in files for path in read_model_paths(file)]
        own = {name: _category(name, roots, host.output) for name in CATEGORIES}
        return cls((*roots, *dict.fromkeys(path.folder for path in extra)), _with(own, roots, extra))

    def category(self, name: str) -> Category:
        """The category of that name or old name; any other name is a folder of that name, with all its files.

        Raises ValueError for a name that cannot be a folder's.
        """
        known = self.categories.get(LEGACY_NAMES.get(name, name))
        if known is not None:
            return known
        if safe_relative(name) is None:
            raise ValueError(f"{name!r} cannot be the name of a model folder: it leads out of models/")
        return Category(name, tuple(root / name for root in self.roots), ANY_FILE)

    def folder_for(self, name: str) -> Path:
        """The folder that a new file of this category goes to; raises ValueError as `category` does."""
        return self.category(name).folders[0]

    def files(self, name: str) -> tuple[str, ...]:
        """The names of all files of a category, relative to its folders, sorted; links are followed."""
        category = self.category(name)
        found = {relative for folder in category.folders for relative in _listed(folder, category)}
        return tuple(sorted(found))

    def find(self, name: str, file: str) -> Path | None:
        """The first file of that relative name, or None; a name that leads out finds nothing."""
        category, relative = self.category(name), safe_relative(file)
        if relative is None:
            return None
        return next((folder / relative for folder in category.folders if (folder / relative).is_file()), None)


def safe_relative(name: str) -> Path | None:
    """`name` as a relative path below some folder, or None where it is absolute, empty or climbs out.

    Both separators count on every system: workflows travel between them.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        return None
    if os.name == "nt" and any(":" in part for part in path.parts):
        return None
    if len(name) > LONGEST_PATH or any(_size(part) > LONGEST_NAME for part in path.parts):
        return None
    return Path(*path.parts)


def _size(part: str) -> int:
    """Bytes of a name on the disk; too many for one that cannot be on a disk."""
    try:
        return len(os.fsencode(part))
    except UnicodeEncodeError:
        return LONGEST_NAME + 1


def _category(name: str, roots: tuple[Path, ...], output: Path) -> Category:
    below, extensions = CATEGORIES[name]
    folders = [root / folder for root in roots for folder in below]
    if name in SAVED_TO_OUTPUT:
        folders += [output / folder for folder in below if folder != "unet"]
    return Category(name, tuple(folders), extensions)


def _with(
    own: Mapping[str, Category], roots: tuple[Path, ...], extra: Sequence[ModelPath]
) -> dict[str, Category]:
    """The categories with the folders that files name for them; new ones take any file."""
    found = dict(own)
    for path in extra:
        name = LEGACY_NAMES.get(path.category, path.category)
        if safe_relative(name) is None:
            continue
        have = found.get(name) or Category(name, tuple(root / name for root in roots), ANY_FILE)
        others = tuple(folder for folder in have.folders if folder != path.folder)
        folders = (path.folder, *others) if path.first else (*others, path.folder)
        found[name] = replace(have, folders=folders)
    return found


def _listed(folder: Path, category: Category) -> Iterator[str]:
    seen: set[str] = set()
    for path, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(path)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if name != ".git"]
        below = Path(path).relative_to(folder)
        for name in folders if category.extensions == FOLDERS_ONLY else files:
            if category.extensions == FOLDERS_ONLY or category.takes(Path(name)):
                yield str(below / name)
