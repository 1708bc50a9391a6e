from pathlib import Path

import pytest
from noderack_host.folder import Host, HostConfig
from noderack_host.folders import ModelFolders


def folders(root: Path, *further: Path) -> ModelFolders:
    return ModelFolders.of(Host(root, HostConfig(model_paths=further)))


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def test_files_are_listed_with_their_folders_and_by_ending(tmp_path: Path) -> None:
    for name in ("b.safetensors", "deep/a.CKPT", "notes.txt", ".git/x.ckpt"):
        put(tmp_path / "models/checkpoints" / name)
    assert folders(tmp_path).files("checkpoints") == ("b.safetensors", str(Path("deep/a.CKPT")))


def test_a_category_has_several_folders_and_old_names(tmp_path: Path) -> None:
    found = [
        put(tmp_path / "models" / name) for name in ("text_encoders/a.safetensors", "clip/b.safetensors")
    ]
    known = folders(tmp_path)
    assert [known.find("clip", path.name) for path in found] == found
    assert known.files("clip") == known.files("text_encoders") == ("a.safetensors", "b.safetensors")


def test_further_roots_come_after_the_own_one(tmp_path: Path) -> None:
    there = put(tmp_path / "far/loras/a.safetensors")
    known = folders(tmp_path / "host", tmp_path / "far")
    assert known.find("loras", "a.safetensors") == there
    here = put(tmp_path / "host/models/loras/a.safetensors")
    assert known.find("loras", "a.safetensors") == here


@pytest.mark.parametrize(
    "name",
    ["../secret.ckpt", "a/../../secret.ckpt", "..\\secret.ckpt", "/etc/passwd", "", ".", "a\0b"],
)
def test_no_name_leads_out(tmp_path: Path, name: str) -> None:
    put(tmp_path / "models/secret.ckpt")
    assert folders(tmp_path).find("checkpoints", name) is None


def test_a_name_from_windows_is_found(tmp_path: Path) -> None:
    there = put(tmp_path / "models/loras/style/a.safetensors")
    assert folders(tmp_path).find("loras", "style\\a.safetensors") == there


def test_a_link_in_a_circle_ends(tmp_path: Path) -> None:
    put(tmp_path / "models/vae/a.pt")
    (tmp_path / "models/vae/again").symlink_to(tmp_path / "models/vae")
    assert folders(tmp_path).files("vae") == ("a.pt",)


def test_where_a_new_file_goes(tmp_path: Path) -> None:
    known = folders(tmp_path)
    assert known.folder_for("unet") == tmp_path / "models/diffusion_models"
    assert known.folder_for("ipadapter") == tmp_path / "models/ipadapter"
    with pytest.raises(ValueError, match="cannot be the name"):
        known.folder_for("../x")
    put(tmp_path / "models/ipadapter/a.onnx")
    assert known.files("ipadapter") == ("a.onnx",)
    assert known.files("nothing") == ()
    assert known.find("nothing", "a") is None
