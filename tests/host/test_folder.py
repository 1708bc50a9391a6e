from pathlib import Path

import pytest
from noderack_host.folder import (
    Host,
    HostConfig,
    HostConfigError,
    HostError,
    HostNotFound,
    read_config,
    write_config,
)

CONFIGS = [
    HostConfig(),
    HostConfig(registry="http://127.0.0.1:8189", python_index="none"),
    HostConfig(model_paths=(Path("/data/models"),), isolation="process", pack_isolation={"grain": "none"}),
    HostConfig(other={"ui": {"port": 8188}}),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_a_config_reads_back_as_it_was_written(config: HostConfig) -> None:
    assert read_config(write_config(config)) == config


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("registry = [", "not valid TOML"),
        ("registry = 3", "registry must be a text"),
        ("model_paths = 'x'", "model_paths must be a list of texts"),
        ("isolation = 'vm'", "isolation is 'vm'"),
        ("packs = 1", "packs must be a table"),
        ("[packs.grain]\nisolation = 'vm'", "packs.grain.isolation is 'vm'"),
    ],
)
def test_a_bad_config_is_one_sentence(text: str, says: str) -> None:
    with pytest.raises(HostConfigError, match=says):
        read_config(text)


def test_isolation_is_told_per_pack() -> None:
    config = HostConfig(isolation="process", pack_isolation={"grain": "none"})
    assert [config.isolation_of(name) for name in ("grain", "grid")] == ["none", "process"]


def test_a_host_is_found_from_below(tmp_path: Path) -> None:
    host = Host(tmp_path, HostConfig(registry="http://127.0.0.1:1"))
    host.save()
    (tmp_path / "input" / "deep").mkdir(parents=True)
    assert Host.find(tmp_path / "input" / "deep") == host
    assert host.with_config(python_index="none") == Host.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_folder_without_host_toml_is_no_host(tmp_path: Path) -> None:
    with pytest.raises(HostNotFound, match=r"has no host\.toml") as caught:
        Host.open(tmp_path)
    assert "nodes init" in caught.value.hint
    assert isinstance(caught.value, HostError)
