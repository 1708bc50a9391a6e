"""`folder_paths`: where models, inputs and outputs are. Packs may change the tables, and are obeyed."""

from __future__ import annotations

import mimetypes
import os
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from noderack_compat import finder, place
from noderack_compat.missing import gap
from noderack_host.folders import CATEGORIES, FOLDERS_ONLY, LEGACY_NAMES, MODEL_EXTENSIONS, SAVED_TO_OUTPUT
from noderack_host.save_names import fill_tokens

finder.install()
__getattr__ = gap(__name__)

supported_pt_extensions: set[str] = set(MODEL_EXTENSIONS)
base_path = str(place.root())
models_dir = str(place.folder("models"))
input_directory = str(place.folder("input"))
output_directory = str(place.folder("output"))
temp_directory = str(place.folder("temp"))
user_directory = str(place.folder("user"))
extension_mimetypes_cache: dict[str, str] = {"webp": "image"}
filename_list_cache: dict[str, Any] = {}


def _table() -> dict[str, tuple[list[str], set[str]]]:
    """The category table as packs know it: name to (folders, endings)."""
    found = place.host()
    roots = (
        [models_dir, *(str(found.root / path) for path in found.config.model_paths)]
        if found
        else [models_dir]
    )
    table: dict[str, tuple[list[str], set[str]]] = {}
    for name, (folders, endings) in CATEGORIES.items():
        paths = [os.path.join(root, folder) for folder in folders for root in roots]
        if name in SAVED_TO_OUTPUT:
            paths.append(os.path.join(output_directory, name))
        # Packs add endings to the set that they share; the common one must be one object.
        shared = supported_pt_extensions if endings == MODEL_EXTENSIONS else set(endings)
        table[name] = (paths, {"folder"} if endings == FOLDERS_ONLY else shared)
    table["custom_nodes"] = ([str(place.packs_folder())], set())
    return table


folder_names_and_paths: dict[str, Any] = _table()


def map_legacy(folder_name: str) -> str:
    return LEGACY_NAMES.get(folder_name, folder_name)


def get_output_directory() -> str:
    return output_directory


def get_input_directory() -> str:
    return input_directory


def get_temp_directory() -> str:
    return temp_directory


def get_user_directory() -> str:
    return user_directory


def get_directory_by_type(type_name: str) -> str | None:
    return {"output": output_directory, "temp": temp_directory, "input": input_directory}.get(type_name)


def annotated_filepath(name: str) -> tuple[str, str | None]:
    """`picture.png [output]` → (`picture.png`, the output folder); None where nothing is annotated."""
    found = re.fullmatch(r"(.*) ?\[(output|input|temp)\]", name, re.DOTALL)
    return (found[1].rstrip(" "), get_directory_by_type(found[2])) if found else (name, None)


def get_annotated_filepath(name: str, default_dir: str | None = None) -> str:
    """The full path of an annotated name; raises ValueError for one that leaves its folder."""
    plain, base = annotated_filepath(name)
    folder = os.path.abspath(base or default_dir or input_directory)
    path = os.path.abspath(os.path.join(folder, plain))
    if os.path.commonpath((folder, path)) != folder:
        raise ValueError(f"{name!r} would leave {folder}; give a file inside it")
    return path


def exists_annotated_filepath(name: str) -> bool:
    try:
        return os.path.exists(get_annotated_filepath(name))
    except ValueError:
        return False


def add_model_folder_path(folder_name: str, full_folder_path: str, is_default: bool = False) -> None:
    """One more folder of a category; a category that is new takes files of any ending."""
    paths, _ = folder_names_and_paths.setdefault(map_legacy(folder_name), ([], set()))
    if full_folder_path in paths:
        if not is_default:
            return
        paths.remove(full_folder_path)
    paths.insert(0 if is_default else len(paths), full_folder_path)


def get_folder_paths(folder_name: str) -> list[str]:
    return list(folder_names_and_paths[map_legacy(folder_name)][0])


def recursive_search(
    directory: str, excluded_dir_names: list[str] | None = None
) -> tuple[list[str], dict[str, float]]:
    """Files below a folder, relative to it, and the folders with their times."""
    excluded = set(excluded_dir_names or ())
    files: list[str] = []
    folders: dict[str, float] = {}
    if not os.path.isdir(directory):
        return files, folders
    for top, inner, names in os.walk(directory, followlinks=True):
        inner[:] = [name for name in inner if name not in excluded]
        folders[top] = os.path.getmtime(top)
        files.extend(os.path.relpath(os.path.join(top, name), directory) for name in names)
    return files, folders


def filter_files_extensions(files: Any, extensions: Any) -> list[str]:
    return sorted(
        file for file in files if not extensions or os.path.splitext(file)[-1].lower() in extensions
    )


def filter_files_content_types(files: list[str], content_types: list[str]) -> list[str]:
    """Files of these kinds: image, video, audio, model."""
    kept = []
    for file in files:
        guess = mimetypes.guess_type(file, strict=False)[0] or ""
        kind = extension_mimetypes_cache.get(file.rpartition(".")[2].lower(), guess.partition("/")[0])
        if kind in content_types:
            kept.append(file)
    return kept


def get_filename_list(folder_name: str) -> list[str]:
    """The files of a category, sorted; read from the disk each time, so a new one is there at once."""
    paths, extensions = folder_names_and_paths[map_legacy(folder_name)][:2]
    found: set[str] = set()
    for path in paths:
        found.update(filter_files_extensions(recursive_search(path, [".git"])[0], extensions))
    return sorted(found)


def get_full_path(folder_name: str, filename: str) -> str | None:
    """Where a file of a category is, or None; never outside of its folders."""
    if map_legacy(folder_name) not in folder_names_and_paths:
        return None
    inside = os.path.relpath(os.path.join("/", filename), "/")
    for folder in get_folder_paths(folder_name):
        path = os.path.join(folder, inside)
        if os.path.isfile(path):
            return path
    return None


def get_full_path_or_raise(folder_name: str, filename: str) -> str:
    path = get_full_path(folder_name, filename)
    if path is None:
        raise FileNotFoundError(f"there is no {folder_name} file {filename!r} in this host's models")
    return path


def get_save_image_path(
    filename_prefix: str, output_dir: str, image_width: int = 0, image_height: int = 0
) -> tuple[str, str, int, str, str]:
    """(folder, name, next counter, sub-folder, prefix) for files `name_00001_` below `output_dir`."""
    filename_prefix = fill_tokens(filename_prefix, image_width, image_height, datetime.now())
    subfolder, filename = os.path.split(os.path.normpath(filename_prefix))
    folder = os.path.join(output_dir, subfolder)
    if os.path.commonpath((os.path.abspath(output_dir), os.path.abspath(folder))) != os.path.abspath(
        output_dir
    ):
        raise ValueError(f"the prefix {filename_prefix!r} would leave {output_dir}; give one inside it")
    os.makedirs(folder, exist_ok=True)
    numbered = re.compile(re.escape(filename) + r"_(\d+)_?(?=\.|_|$)", re.IGNORECASE)
    counters = [int(found[1]) for name in os.listdir(folder) if (found := numbered.match(name))]
    return folder, filename, max(counters, default=0) + 1, subfolder, filename_prefix


def get_input_subfolders() -> list[str]:
    top = Path(input_directory)
    return sorted(p.relative_to(top).as_posix() for p in top.rglob("*") if p.is_dir()) if top.is_dir() else []


def set_output_directory(output_dir: str) -> None:
    globals()["output_directory"] = output_dir


def set_input_directory(input_dir: str) -> None:
    globals()["input_directory"] = input_dir


def set_temp_directory(temp_dir: str) -> None:
    globals()["temp_directory"] = temp_dir
