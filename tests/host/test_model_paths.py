"""extra_model_paths.yaml in the shapes that people have."""

from pathlib import Path

import pytest
from noderack_host.folder import Host, HostConfig
from noderack_host.folders import ModelFolders
from noderack_host.model_paths import ModelPath, read_model_paths

SHIPPED = """
# Rename this to extra_model_paths.yaml and ComfyUI will load it
a111:
    base_path: {root}/webui   # where it is

    checkpoints: models/Stable-diffusion
    vae: 'models/VAE'
    loras: |
         models/Lora
         models/LyCORIS
    embeddings: embeddings
#    custom_nodes: path/custom_nodes

comfyui:
    base_path: "{root}/other: comfy/"
    is_default: true
    unet: models/unet
    ultralytics_bbox: models/bbox
other_ui:
    checkpoints: {root}/plain
    ../evil: x
"""


@pytest.fixture
def host(tmp_path: Path) -> Host:
    file = tmp_path / "extra_model_paths.yaml"
    file.write_text(SHIPPED.format(root=tmp_path).replace("../evil", '"../evil"'))
    made = Host(tmp_path / "host", HostConfig(model_paths=(tmp_path / "more", file)))
    made.save()
    return made


def test_sections_blocks_quotes_and_comments_are_read(host: Host, tmp_path: Path) -> None:
    found = read_model_paths(tmp_path / "extra_model_paths.yaml")
    webui = tmp_path / "webui"
    assert found[:5] == (
        ModelPath("checkpoints", webui / "models/Stable-diffusion"),
        ModelPath("vae", webui / "models/VAE"),
        ModelPath("loras", webui / "models/Lora"),
        ModelPath("loras", webui / "models/LyCORIS"),
        ModelPath("embeddings", webui / "embeddings"),
    )
    assert ModelPath("unet", tmp_path / "other: comfy/models/unet", first=True) in found
    assert ModelPath("checkpoints", tmp_path / "plain") in found


def test_a_host_finds_files_there_under_each_name(host: Host, tmp_path: Path) -> None:
    for place in ("webui/models/LyCORIS/a.safetensors", "other: comfy/models/unet/u.safetensors"):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_bytes(b"x")
    folders = ModelFolders.of(host)
    assert folders.find("loras", "a.safetensors") == tmp_path / "webui/models/LyCORIS/a.safetensors"
    assert folders.files("diffusion_models") == folders.files("unet") == ("u.safetensors",)
    assert folders.folder_for("diffusion_models") == tmp_path / "other: comfy/models/unet", "is_default"
    assert folders.folder_for("loras") == host.models / "loras"
    assert tmp_path / "more/loras" in folders.category("loras").folders
    assert "../evil" not in folders.categories and "ultralytics_bbox" in folders.categories


def test_lists_home_folders_and_variables_are_read_and_custom_nodes_are_no_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("SHARE", "/mnt/share")
    file = tmp_path / "f.yaml"
    file.write_text(
        "mine:\n  base_path: ~/ai\n  custom_nodes: nodes/\n  checkpoints:\n    - models/a/  # old\n"
        "    - '/abs/b'\n  loras:\n  - ${SHARE}/loras\nwindows:\n  vae: |\n    C:\\AI\\vae\n"
        "relative:\n  base_path: ../beside\n  vae: v\n"
    )
    found = read_model_paths(file)
    assert [(path.category, str(path.folder)) for path in found if "C:" not in str(path.folder)] == [
        ("checkpoints", "/home/ann/ai/models/a"),
        ("checkpoints", "/abs/b"),
        ("loras", "/mnt/share/loras"),
        ("vae", str(tmp_path.parent / "beside/v")),
    ]


def test_the_hosts_own_file_is_read_without_being_named(tmp_path: Path) -> None:
    host = Host(tmp_path, HostConfig())
    host.save()
    (tmp_path / "extra_model_paths.yaml").write_text("x:\n  vae: shared/vae\n")
    assert tmp_path / "shared/vae" in ModelFolders.of(host).category("vae").folders


@pytest.mark.parametrize("text", ["", "]", "a: b", "a:\n  - b\n  - c\n", "a:\n\tvae: x", "\0\xff:\n  :\n"])
def test_what_is_no_such_file_adds_nothing_and_breaks_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "f.yaml").write_text(text)
    assert all(path.category for path in read_model_paths(tmp_path / "f.yaml"))
    assert read_model_paths(tmp_path / "none.yaml") == ()
