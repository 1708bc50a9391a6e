"""Hosts to try things on: small real virtualenvs, made once and cloned by the code under test."""

import subprocess
import sys
from pathlib import Path

import pytest
from noderack_cli import generations
from noderack_cli.generations import InstalledPack
from noderack_host.folder import Host, HostConfig


@pytest.fixture(scope="session")
def bare_env(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtualenv without pip, with one script and one .pth that hold its path."""
    root = tmp_path_factory.mktemp("env") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root)], check=True)
    script = root / "bin" / "hello"
    script.write_text(f"#!{root}/bin/python\nimport sys; print(sys.prefix)\n")
    script.chmod(0o755)
    packages = next(root.glob("lib/python3*/site-packages"))
    (packages / "here.pth").write_text(f"{root}/src\n")
    (packages / "module.py").write_text("VALUE = 1\n")
    return root


@pytest.fixture
def host(tmp_path: Path, bare_env: Path) -> Host:
    """A host with generation 1, cloned from `bare_env`."""
    made = Host(tmp_path / "host", HostConfig(python_index="none"))
    made.save()
    with generations.draft(made, bare_env, None) as draft:
        generations.commit(made, draft, "init", {"core": InstalledPack("core", "1", ("KSampler",), "host")})
    return made
