"""A host folder that nodes run in."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from noderack_host.folder import Host, HostConfig
from noderack_host.folders import ModelFolders
from noderack_host.running import Running, use


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """An empty host whose nodes are running."""
    made = Host(tmp_path, HostConfig())
    for folder in (made.input, made.output, made.temp, made.models):
        folder.mkdir(parents=True, exist_ok=True)
    with use(Running(made, ModelFolders.of(made))):
        yield made


ROOT = Path(__file__).parents[2]
PATHS = [str(ROOT / p) for p in ("host", "plugins/nodes", "plugins/compat", "plugins/compat/modules")]


@pytest.fixture
def ask() -> Callable[[str, Path], Any]:
    """Runs code in a process that has compat's modules on its path; the value of `answer` comes back."""
    return asked


def asked(code: str, host: Path) -> Any:
    """Runs code in a process that has the modules on its path; the value of `answer` comes back."""
    (host / "host.toml").touch()
    lines = f"import sys, json\nsys.path[:0] = {PATHS!r}\n{code}\nprint(json.dumps(answer))"
    env = {**os.environ, "NODERACK_HOST": str(host), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])
