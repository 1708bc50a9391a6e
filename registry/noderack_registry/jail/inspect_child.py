"""Runs in the jail: `noderack_host inspect` over a pack that lies in a folder of its own.

Arguments: the folder, then the names of the packs. The standard library and the host are there already.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path


def main() -> None:
    folder, *packs = sys.argv[1:]
    home = str(Path.cwd())
    os.environ.update(HOME=home, TMPDIR=home)
    sys.path.append(folder)  # .pth files in there are not read: nothing runs before it is asked for
    host = Path(home) / "host"
    host.mkdir()
    (host / "host.toml").touch()
    sys.argv = ["noderack_host", "inspect", "--host", str(host), "--packs", *packs]
    runpy.run_module("noderack_host", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
