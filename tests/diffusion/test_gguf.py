"""GGUF files: every packing gives what the format's own library gives; damaged headers are refused."""

import struct
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from noderack_diffusion.errors import FileError
from noderack_diffusion.folder import load_model_file
from noderack_diffusion.gguf_blocks import PACKINGS
from noderack_diffusion.store import Store
from safetensors.torch import load_file

TINY = Path(__file__).parents[2] / "plugins/tiny/models/noderack-shapes.safetensors"


@pytest.mark.parametrize("number", sorted(PACKINGS), ids=lambda n: PACKINGS[n].name)
def test_unpacked_as_the_format_says(number: int) -> None:
    packing = PACKINGS[number]
    raw = np.random.default_rng(number).integers(0, 256, (64, packing.size), dtype=np.uint8)
    with np.errstate(all="ignore"):
        wanted = gguf.quants.dequantize(raw, Kind(number))
    found = packing.unpack(torch.from_numpy(raw)).numpy()
    assert found.shape == (64, packing.weights)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def written(path: Path, tensors: dict[str, np.ndarray[Any, Any]], kind: Kind, **shapes: list[int]) -> Path:
    writer = gguf.GGUFWriter(path, "sd1")
    for name, shape in shapes.items():
        writer.add_array(f"comfy.gguf.orig_shape.{name}", shape)
    for name, tensor in tensors.items():
        fits = tensor.ndim > 1 and tensor.shape[-1] % gguf.GGML_QUANT_SIZES[kind][0] == 0
        packed = gguf.quants.quantize(tensor, kind) if fits else tensor
        writer.add_tensor(name, packed, raw_dtype=kind if fits else None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("kind", [Kind.Q8_0, Kind.Q5_1, Kind.Q4_0, Kind.F16])
def test_a_model_from_a_packed_file_draws_nearly_the_same(tmp_path: Path, kind: Kind) -> None:
    prefix = "model.diffusion_model."
    own = {
        k.removeprefix(prefix): v.float().numpy() for k, v in load_file(TINY).items() if k.startswith(prefix)
    }
    store = Store.open(written(tmp_path / "m.gguf", own, kind))
    assert store.metadata["general.architecture"] == "sd1"
    assert {name: info.shape for name, info in store.header.items()} == {k: v.shape for k, v in own.items()}
    for name, tensor in own.items():
        assert np.abs(store.tensor(name).float().numpy() - tensor).max() <= 0.11 * np.abs(tensor).max() + 1e-6
    assert load_model_file(tmp_path / "m.gguf", device="cpu").spec.family.name == "sd1"


def test_the_shape_that_a_tensor_had_before_it_was_packed(tmp_path: Path) -> None:
    flat = np.arange(64, dtype=np.float32).reshape(2, 32)
    store = Store.open(written(tmp_path / "m.gguf", {"w": flat}, Kind.Q8_0, w=[4, 4, 2, 2]))
    assert store.tensor("w").shape == (4, 4, 2, 2)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"nope", "no GGUF file"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "no GGUF file of version 2 or 3"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 40, 0), "announces 1099511627776 tensors"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1 << 50), "announces 1125899906842624 letters"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 0), "ends in the middle"),
        (b"GGUF" + struct.pack("<IQQQ1sIQIQ", 3, 1, 0, 1, b"w", 1, 1 << 40, 0, 0), "does not lie in it"),
        (b"GGUF" + struct.pack("<IQQQ1sIQIQ", 3, 1, 0, 1, b"w", 1, 32, 99, 0), "not known here"),
    ],
)
def test_damaged_headers(tmp_path: Path, raw: bytes, said: str) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(raw)
    with pytest.raises(FileError, match=said):
        Store.open(path)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some.data())
def test_any_damage_is_told(tmp_path: Path, data: some.DataObject) -> None:
    good = tmp_path / "good.gguf"
    if not good.exists():
        written(good, {"w": np.ones((2, 32), np.float32)}, Kind.Q8_0)
    raw = bytearray(good.read_bytes())
    for _ in range(data.draw(some.integers(1, 6))):
        raw[data.draw(some.integers(0, len(raw) - 1))] = data.draw(some.integers(0, 255))
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(raw[: data.draw(some.integers(1, len(raw)))])
    try:
        store = Store.open(bad)
        for name in store.header:
            store.tensor(name)
    except FileError:
        pass
