"""Files as users have them: every form loads, and what is none is told in a sentence with the next step."""

import json
import pickle
import shutil
import struct
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from noderack_diffusion.checkpoint import load_checkpoint
from noderack_diffusion.errors import DiffusionError, FileError
from noderack_diffusion.folder import _stores
from noderack_diffusion.store import Store
from noderack_diffusion.text_files import load_text_encoder
from safetensors.torch import load_file, save_file
from torch import Tensor

TINY = Path(__file__).parents[2] / "plugins/tiny/models/noderack-shapes.safetensors"


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return load_file(TINY)


@pytest.fixture(scope="module")
def told() -> dict[str, str]:
    return dict(Store.open(TINY).metadata)


DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_number_format(
    dtype: torch.dtype, state: dict[str, Tensor], told: dict[str, str], tmp_path: Path
) -> None:
    save_file({name: t.to(dtype) for name, t in state.items()}, tmp_path / "m.safetensors", told)
    found = load_checkpoint(tmp_path / "m.safetensors", device="cpu")
    weights = found.model.network().parameters()
    assert found.spec.family.name == "sd1" and all(p.isfinite().all() for p in weights)


class Trainer:
    """Stands for the state that a trainer leaves in its checkpoints."""

    def __init__(self) -> None:
        self.best = 0.1


class Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def of_a_trainer(monkeypatch: pytest.MonkeyPatch) -> object:
    """An object of the class that Stable Diffusion 1's own checkpoints hold."""
    name = "pytorch_lightning.callbacks.model_checkpoint"
    module = ModuleType(name)
    made = type("ModelCheckpoint", (Trainer,), {"__module__": name})
    vars(module)["ModelCheckpoint"] = made
    for part in ("pytorch_lightning", "pytorch_lightning.callbacks"):
        monkeypatch.setitem(sys.modules, part, ModuleType(part))
    monkeypatch.setitem(sys.modules, name, module)
    return made()


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_pickled_files_of_any_age(
    nested: bool,
    zipped: bool,
    state: dict[str, Tensor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = {name: tensor.float() for name, tensor in state.items()}  # newer kinds came after the old form
    held: Any = {"state_dict": state, "epoch": 3, "callbacks": {"a": of_a_trainer(monkeypatch)}}
    path = tmp_path / "m.ckpt"
    torch.save(held if nested else state, path, _use_new_zipfile_serialization=zipped)
    store = Store.open(path)
    assert set(store.header) == set(state)
    assert all(store.tensor(name).equal(tensor) for name, tensor in state.items())


def test_a_pickled_file_is_never_obeyed(tmp_path: Path) -> None:
    mark = tmp_path / "obeyed"
    torch.save({"state_dict": {}, "x": Evil(mark)}, tmp_path / "a.ckpt")
    (tmp_path / "b.ckpt").write_bytes(pickle.dumps(Evil(mark), protocol=2))
    for name in ("a.ckpt", "b.ckpt"):
        with pytest.raises(FileError, match="without running code; get its safetensors version"):
            Store.open(tmp_path / name)
    assert not mark.exists()


def header(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text + b"\0" * 8


def tensor(**more: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **more}


def table(**tensors: Any) -> bytes:
    return header(json.dumps(tensors).encode())


BAD: dict[str, tuple[bytes, str]] = {
    "page.safetensors": (b"<!DOCTYPE html><title>Log in</title>", "a web page; .* with a token"),
    "page.ckpt": (b"<html>", "a web page"),
    "lfs.safetensors": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "error.safetensors": (b'{"error": "not found"}', "a JSON text, not the weights"),
    "pickle.safetensors": (b"PK\x03\x04" + b"\xff" * 60, r"let its name end in .ckpt"),
    "g.safetensors": (b"GGUF" + b"\xff" * 60, r"let its name end in .gguf"),
    "safe.ckpt": (table(a=tensor()), "let its name end in .safetensors"),
    "none.ckpt": (b"", "damaged, or no pickled checkpoint"),
    "cut.ckpt": (b"PK\x03\x04" + b"\0" * 60, "damaged"),
    "bomb.safetensors": (struct.pack("<Q", 2**63) + b"x" * 99, "announces a header of 9223372036854775808"),
    "nan.safetensors": (struct.pack("<d", float("nan")) + b"x" * 99, "announces a header of"),
    "deep.safetensors": (header(b'{"a":' * 9999), "damaged"),
    "number.safetensors": (header(b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}'), "shape"),
    "long.safetensors": (header(b'{"a":' + b"9" * 5000 + b"}"), "damaged"),
    "float.safetensors": (table(a=tensor(shape=[1.0])), "has the shape"),
    "nowhere.safetensors": (table(a=tensor(data_offsets=None)), "damaged"),
    "beyond.safetensors": (table(a=tensor(shape=[4], data_offsets=[0, 16])), "ends 8 bytes beyond the file"),
    "twice.safetensors": (table(a=tensor(), b=tensor()), "'a' and 'b' lie in the same place"),
    "list.safetensors": (table(__metadata__=[1]), "damaged"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_weights_file_is_told(name: str, tmp_path: Path) -> None:
    content, says = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError, match=says):
        Store.open(tmp_path / name)


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="is a folder"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("double_blocks.0.img_attn.qkv.weight", "Flux, a family that is not here yet"),
        ("model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight", "Stable Diffusion 3, a family"),
        ("head.modulation", "Wan"),
        ("control_model.input_blocks.0.0.weight", "models/controlnet"),
        ("text_model.encoder.layers.0.mlp.fc1.weight", "models/text_encoders"),
        ("vision_model.post_layernorm.weight", "models/clip_vision"),
    ],
)
def test_what_is_no_checkpoint_is_told(name: str, says: str, tmp_path: Path) -> None:
    save_file({name: torch.zeros(4, 4)}, tmp_path / "m.safetensors")
    with pytest.raises(DiffusionError, match=says):
        load_checkpoint(tmp_path / "m.safetensors")


def test_a_missing_part_of_many_is_named(tmp_path: Path) -> None:
    for n in (1, 3):
        shutil.copy(TINY, tmp_path / f"model-0000{n}-of-00003.safetensors")
    with pytest.raises(FileError, match=r"of the 00003 parts of .* there is no 2"):
        _stores(tmp_path, "model")
    shutil.copy(TINY, tmp_path / "model-00002-of-00003.safetensors")
    assert len(_stores(tmp_path, "model")) == 3


def test_a_part_in_the_old_form_is_found(tmp_path: Path, state: dict[str, Tensor]) -> None:
    torch.save(state, tmp_path / "pytorch_model.bin")
    assert set(_stores(tmp_path, "model")[0].header) == set(state)


@pytest.mark.parametrize("count", [0, 3])
def test_too_few_or_many_text_encoders(count: int) -> None:
    with pytest.raises(DiffusionError, match=f"{count} text encoders given"):
        load_text_encoder([TINY] * count)
