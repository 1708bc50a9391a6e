"""Runs in the jail: `noderack_host inspect` over a pack that lies in a folder of its own.

Arguments: the folder, then the names of the packs. The standard library and the host are there already.
"""

from __future__ import annotations

import os
import runpy
import shutil
import sys
from pathlib import Path

LARGEST_COPY = 256 << 20


def own_copy(folder: Path, copy: Path) -> str:
    """The pack where it may write beside its files, as many do; left in its place if that is too much."""
    if sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) > LARGEST_COPY:
        return str(folder)
    shutil.copytree(folder, copy, copy_function=shutil.copyfile)
    return str(copy)


def main() -> None:
    folder, *packs = sys.argv[1:]
    home = str(Path.cwd())
    os.environ.update(HOME=home, TMPDIR=home)
    # .pth files in there are not read: nothing runs before it is asked for
    sys.path.append(own_copy(Path(folder), Path(home) / "site"))
    host = Path(home) / "host"
    host.mkdir()
    (host / "host.toml").touch()
    sys.argv = ["noderack_host", "inspect", "--host", str(host), "--packs", *packs]
    runpy.run_module("noderack_host", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
