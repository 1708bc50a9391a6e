"""Word lists as files: where they are, and how a name with `*` finds several."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path, PurePosixPath

OWN = Path(__file__).parent / "lists"


def read_lists(*folders: Path) -> Callable[[str], tuple[str, ...]]:
    """Looks a name up in the folders in their order; the first folder that has the name decides."""

    def lines(name: str) -> tuple[str, ...]:
        for folder in folders:
            files = matching(folder, name)
            if files:
                return tuple(line for file in files for line in entries(file.read_text(encoding="utf-8-sig")))
        return ()

    return lines


def matching(folder: Path, name: str) -> list[Path]:
    """Text files under `folder` whose path without `.txt` matches; never one outside it."""
    wanted = PurePosixPath(name)
    if not folder.is_dir() or wanted.is_absolute() or ".." in wanted.parts:
        return []
    files = sorted(folder.rglob("*.txt"))
    return [
        file
        for file in files
        if fnmatchcase(file.relative_to(folder).with_suffix("").as_posix(), str(wanted))
    ]


def entries(text: str) -> list[str]:
    """The lines that count: not empty, not a comment."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def host_folder() -> Path | None:
    """`user/wildcards` of the host that is running, or of a ComfyUI that is; None when neither is."""
    try:
        from noderack_host.running import current_or_none
    except ImportError:
        return _comfyui_folder()
    running = current_or_none()
    return running.host.user / "wildcards" if running and running.host else None


def _comfyui_folder() -> Path | None:
    try:
        folder_paths = import_module("folder_paths")
    except ImportError:
        return None
    return Path(folder_paths.get_user_directory()) / "wildcards"
