"""A host folder that nodes run in."""

from collections.abc import Iterator
from pathlib import Path

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
