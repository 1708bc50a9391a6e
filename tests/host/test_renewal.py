"""When a process may go on with the next generation: folders made by hand, cases as a table."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from noderack_host.folder import Host, HostConfig
from noderack_host.renewal import in_use, libraries, move, obstacles, reason

LIBRARY = "lib/python3.11/site-packages"


def distribution(root: Path, name: str, version: str, *modules: str) -> None:
    """An installed distribution of empty modules."""
    library = root / LIBRARY
    info = library / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "RECORD").write_text("".join(f"{module},sha256={version},1\n" for module in modules))
    for module in modules:
        (library / module).parent.mkdir(parents=True, exist_ok=True)
        (library / module).write_text(f"VERSION = {version!r}\n")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    root = tmp_path / "generations" / "1"
    distribution(root, "used", "1", "used/__init__.py", "used/later.py")
    distribution(root, "idle", "1", "idle.py")
    (root / LIBRARY / "here.pth").write_text(f"{root}/src\n")
    return root


def loaded(root: Path, *files: str) -> dict[str, ModuleType | None]:
    found: dict[str, ModuleType | None] = {"nothing": None, "builtin": ModuleType("builtin")}
    for file in files:
        module = ModuleType(Path(file).stem)
        module.__file__ = str(root / LIBRARY / file)
        found[file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")] = module
    return found


def clone(old: Path) -> Path:
    """As the installer clones: hard links, and path files that name the clone."""
    new = old.with_name("2")
    shutil.copytree(old, new, copy_function=os.link)
    (new / LIBRARY / "here.pth").unlink()
    (new / LIBRARY / "here.pth").write_text(f"{new}/src\n")
    return new


def replaced(new: Path, name: str, *modules: str) -> None:
    shutil.rmtree(new / LIBRARY / f"{name}-1.dist-info")
    for module in modules:
        (new / LIBRARY / module).unlink()
    distribution(new, name, "2", *modules)


def lazily(new: Path) -> None:
    """Another version of which only an unloaded module differs."""
    record = new / LIBRARY / "used-1.dist-info/RECORD"
    record.unlink()
    record.write_text("used/__init__.py,sha256=1,1\nused/later.py,sha256=2,1\n")


CHANGES: dict[str, tuple[Callable[[Path], Any], list[str]]] = {
    "nothing": (lambda new: None, []),
    "a new one": (lambda new: distribution(new, "more", "1", "more.py"), []),
    "one that is not loaded": (lambda new: replaced(new, "idle", "idle.py"), []),
    "one that is loaded": (
        lambda new: replaced(new, "used", "used/__init__.py", "used/later.py"),
        ["used", "used-1"],
    ),
    "one that is loaded is gone": (lambda new: shutil.rmtree(new / LIBRARY / "used"), ["used"]),
    "a part of it that is not loaded yet": (lazily, ["used-1"]),
    "a path file": (lambda new: (new / LIBRARY / "more.pth").write_text("/x\n"), ["more.pth"]),
    "a linked working copy": (lambda new: (new / LIBRARY / "_noderack_dev_x.pth").write_text("/x\n"), []),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_stands_in_the_way(old: Path, change: str) -> None:
    new = clone(old)
    make, expected = CHANGES[change]
    make(new)
    assert obstacles(old, new, loaded(old, "used/__init__.py")) == expected


def test_copies_are_compared_by_their_bytes(old: Path) -> None:
    new = old.with_name("2")
    shutil.copytree(old, new)
    (new / LIBRARY / "here.pth").write_text(f"{new}/src\n")
    assert obstacles(old, new, loaded(old, "used/__init__.py", "idle.py")) == []


def test_the_search_path_moves_on(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = clone(old)
    monkeypatch.setattr(sys, "path", ["", str(old / LIBRARY), "/elsewhere", f"{old}x"])
    package: Any = ModuleType("used")
    package.__path__ = [str(old / LIBRARY / "used")]
    monkeypatch.setitem(sys.modules, "used", package)
    move(old, new)
    assert sys.path == ["", str(new / LIBRARY), "/elsewhere", f"{old}x"]
    assert package.__path__ == [str(new / LIBRARY / "used")]


def test_which_generation_is_in_use(old: Path, tmp_path: Path) -> None:
    host = Host(tmp_path, HostConfig())
    host.env.symlink_to("generations/1")
    assert in_use(host) == (1, old) and libraries(old) == (old / LIBRARY,)
    host.env.unlink()
    host.env.symlink_to("/")
    assert in_use(host)[0] is None


def test_a_reason_names_a_few() -> None:
    assert reason("abc").endswith(": a, b, c") and reason("abcdefgh").endswith("e and 3 more")
