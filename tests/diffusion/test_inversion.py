"""Textual inversions in all their file forms."""

from pathlib import Path

import pytest
import torch
from noderack_diffusion.errors import FileError
from noderack_diffusion.inversion import Inversions, bundled, find_embedding
from safetensors.torch import save_file

L, G = torch.arange(6.0).reshape(2, 3), torch.arange(8.0).reshape(2, 4)
FORMS = {
    "kohya.safetensors": {"emb_params": L},
    "a1111.pt": {"string_to_token": {"*": 265}, "string_to_param": {"*": L}, "name": "x", "step": 3},
    "diffusers.bin": {"<x>": L},
    "one.bin": {"<x>": L[0]},
    "list.pt": [{"a": L[:1]}, {"b": G}, {"c": L[1:]}],
    "xl.safetensors": {"clip_l": L, "clip_g": G},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    for name, content in FORMS.items():
        path = tmp_path / "sub" / name
        save_file(content, path) if path.suffix == ".safetensors" else torch.save(content, path)
    return tmp_path


@pytest.mark.parametrize("name", FORMS)
def test_forms(name: str, folder: Path) -> None:
    find = Inversions([folder])
    want = L[:1] if name == "one.bin" else L
    for spelling in (f"sub/{name}", f"sub/{Path(name).stem}"):
        assert find(spelling, "l", 3).equal(want)
    assert (find(f"sub/{name}", "g", 4) is not None) == (name in ("xl.safetensors", "list.pt"))
    assert find(f"sub/{name}", "l", 768) is None


def test_nothing_outside_the_folders_is_read(folder: Path, tmp_path: Path) -> None:
    (folder.parent / "secret.pt").write_bytes(b"x")
    assert find_embedding([folder], "../secret.pt") is None
    assert Inversions([folder])("missing", "l", 3) is None


def test_pickles_run_no_code(folder: Path) -> None:
    class Evil:
        def __reduce__(self):
            return (print, ("ran",))

    torch.save({"x": Evil()}, folder / "evil.pt")
    with pytest.raises(FileError, match="without running"):
        Inversions([folder])("evil", "l", 3)


def test_bundles_keep_their_names() -> None:
    found = bundled(
        {"bundle_emb.cat.string_to_param.*": L, "bundle_emb.dog.clip_g": G, "lora_unet_x.alpha": L}
    )
    assert found["cat"]["*"].equal(L) and found["dog"]["clip_g"].equal(G) and set(found) == {"cat", "dog"}
