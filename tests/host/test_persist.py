from pathlib import Path
from typing import Any

import pytest
from noderack_host.cache import Classic, Entry
from noderack_host.execute import Executor
from noderack_host.persist import NotPlain, OnDisk, read_result, write_result
from noderack_host.testing import simple_node

torch = pytest.importorskip("torch")
KEY = b"k" * 16


def test_tensors_and_plain_data_come_back_as_they_were(tmp_path: Path) -> None:
    latent = {"samples": torch.randn(1, 4, 2, 2), "batch_index": [0], "noise": None}
    outputs = [[latent], [torch.ones(3, dtype=torch.bfloat16)], [(1, "a", True, 2.5)]]
    write_result(tmp_path / "r.safetensors", outputs)
    found = read_result(tmp_path / "r.safetensors")
    assert torch.equal(found[0][0]["samples"], latent["samples"])
    assert found[1][0].dtype == torch.bfloat16 and found[2] == [(1, "a", True, 2.5)]
    assert found[0][0]["batch_index"] == [0] and found[0][0]["noise"] is None


@pytest.mark.parametrize("value", [object(), {1: 2}, b"x", torch.nn.Linear(1, 1)])
def test_anything_else_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(NotPlain):
        write_result(tmp_path / "r.safetensors", [[value]])


def test_a_second_process_finds_what_the_first_made(tmp_path: Path) -> None:
    calls: list[str] = []

    def make(seed: int) -> Any:
        calls.append("make")
        return (torch.full((2,), float(seed)),)

    nodes = {
        "Make": simple_node(make, {"seed": ("INT",)}),
        "Show": simple_node(lambda x: {"ui": {"v": x.tolist()}}, {"x": ("*",)}, (), OUTPUT_NODE=True),
    }
    prompt = {
        "1": {"class_type": "Make", "inputs": {"seed": 3}},
        "2": {"class_type": "Show", "inputs": {"x": ["1", 0]}},
    }
    for _ in range(2):
        executor = Executor(nodes, OnDisk(Classic(), tmp_path, 10**6))
        assert executor.run_here(prompt).outputs == {"2": {"v": [3.0, 3.0]}}
    assert calls == ["make"]


def test_a_damaged_file_is_a_result_that_is_not_there(tmp_path: Path) -> None:
    cache = OnDisk(Classic(), tmp_path, 10**6)
    cache.put(KEY, Entry(([torch.ones(100)],)))
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:50])
    assert OnDisk(Classic(), tmp_path, 10**6).get(KEY) is None
    assert list(tmp_path.iterdir()) == []


def test_the_longest_unused_go_when_there_are_too_many(tmp_path: Path) -> None:
    cache = OnDisk(Classic(), tmp_path, 1500)
    for number in range(3):
        cache.put(bytes([number]) * 16, Entry(([torch.ones(200)],)))
    cache.end()
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 1500
    cache.clear()
    assert list(tmp_path.iterdir()) == []


def test_what_nodes_show_is_not_kept(tmp_path: Path) -> None:
    OnDisk(Classic(), tmp_path, 1500).put(KEY, Entry(([1],), {"images": [{"filename": "a.png"}]}))
    assert list(tmp_path.iterdir()) == []
