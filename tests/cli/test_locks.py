"""lock, sync, bundle, doctor: the same host again, and what is wrong with one."""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from noderack_cli import generations, lock_file
from noderack_cli.doctor import _folders, look
from noderack_cli.errors import BadInput
from noderack_cli.exits import Exit
from noderack_cli.installed import installed
from noderack_cli.machine import Machine
from noderack_cli.main import run
from noderack_cli.uv_tool import uv
from noderack_cli.wheels import Wheel
from noderack_host.folder import Host
from noderack_registry.schema import ModelManifest, Source
from packaging.pylock import Pylock

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

BODY = os.urandom(50_000)


@pytest.fixture
def full(shop: Any, rack: Host) -> Host:
    """A host with a pack, its library, and a model."""
    shop.sell("lib", library=True)
    shop.sell("film", types=["FilmGrain"], requires=["lib"])
    shop.sell_model("shapes.safetensors", BODY)
    assert run(["install", "film", "--yes"]) == 0
    assert run(["models", "get", "shapes.safetensors"]) == 0
    return rack


def codes(host: Host, *, deep: bool = False) -> list[str]:
    return [ill.code for ill in look(host, deep=deep)]


def test_a_lock_builds_the_host_again(full: Host, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lock"]) == 0
    made = lock_file.read(full.lockfile.read_text(), "nodes.lock")
    film = next(p for p in made.packages if p.name == "film")
    assert film.pack and film.node_types == ("FilmGrain",) and len(film.wheels[0].sha256) == 64
    assert {p.name for p in made.packages if not p.host} == {"film", "lib"}
    assert [m.name for m in made.models] == ["shapes.safetensors"]
    assert run(["uninstall", "film", "--yes"]) == 0
    assert run(["sync", "--yes"]) == 0
    assert generations.current(full).packs["film"].version == "1.0"
    capsys.readouterr()
    assert run(["sync", "--yes"]) == 0
    assert capsys.readouterr().out.strip() == f"The host is as {full.lockfile} says."


def test_a_lock_is_one_that_pip_and_uv_read(full: Host, shop: Any, tmp_path: Path) -> None:
    assert run(["lock"]) == 0
    text = full.lockfile.read_text()
    made = Pylock.from_dict(tomllib.loads(text))
    assert {p.name for p in made.packages} == {"film", "lib"}
    assert all(wheel.hashes["sha256"] and wheel.size for p in made.packages for wheel in p.wheels or ())
    (tmp_path / "pylock.toml").write_text(text)
    python = str(generations.numbered(full, 1).python)
    done = uv(["pip", "install", "--dry-run", "--python", python, "-r", tmp_path / "pylock.toml"])
    assert done.code == 0 and "+ film==1.0" in done.err and "+ lib==1.0" in done.err


def test_a_sync_takes_out_what_the_lock_has_not(
    full: Host, shop: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["lock"]) == 0
    shop.sell("grain", library=True)
    shop.sell("later", types=["Later"], requires=["grain"])
    assert run(["install", "later", "--yes"]) == 0
    assert run(["sync", "--yes"]) == 0
    now = generations.current(full)
    assert set(now.packs) == {"noderack", "film"} and not {"later", "grain"} & set(installed(now.path))
    assert now.why == "remove grain; remove later"
    assert f"generation {now.number} is in use" in capsys.readouterr().out


def test_a_bundle_is_a_folder(full: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bundle", "create", str(tmp_path / "stick.zip")]) == Exit.BAD_INPUT
    assert "nodes bundle create" in capsys.readouterr().err and not (tmp_path / "stick.zip").exists()


def test_a_bundle_needs_no_network(full: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bundle", "create", str(tmp_path / "stick")]) == 0
    assert run(["uninstall", "film", "--yes"]) == 0
    shutil.rmtree(full.models / "checkpoints")
    full.with_config(registry="http://127.0.0.1:9")
    assert run(["bundle", "apply", str(tmp_path / "stick"), "--dry-run"]) == 0
    assert "film" not in generations.current(full).packs
    assert run(["bundle", "apply", str(tmp_path / "stick"), "--yes"]) == 0
    out = capsys.readouterr().out
    assert "On the other machine: nodes bundle apply stick" in out and ": 1 pack and 1 model; gen" in out
    assert "film" in generations.current(full).packs
    assert (full.models / "checkpoints/shapes.safetensors").read_bytes() == BODY


def test_a_changed_wheel_in_a_bundle_is_refused(
    full: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bundle", "create", str(tmp_path / "stick")]) == 0
    assert run(["uninstall", "film", "--yes"]) == 0
    wheel = next((tmp_path / "stick/wheels").glob("film*"))
    wheel.write_bytes(wheel.read_bytes() + b" ")
    assert run(["bundle", "apply", str(tmp_path / "stick"), "--yes"]) == Exit.INSTALL_FAILED
    assert "not the wheel that was locked" in capsys.readouterr().err
    assert "film" not in generations.current(full).packs


def test_a_lock_reads_back() -> None:
    wheel = Wheel("a-1-py3-none-any.whl", "https://example.org/a-1-py3-none-any.whl", "0" * 64, 7)
    model = ModelManifest("m", "loras", "1" * 64, 9, (Source("url", "https://example.org/m"),))
    lock = lock_file.Lock(
        (
            lock_file.Locked("a", "1", (wheel,), True, False, ("T",)),
            lock_file.Locked("torch", "2", host=True),
        ),
        (model,),
        "http://r",
        ">=3.10",
    )
    assert lock_file.read(lock_file.text(lock), "x") == lock


@pytest.mark.parametrize(
    "text", ["[", "lock-version = '2.0'", "lock-version = '1.0'\npackages = [{}]", "a = 1"]
)
def test_a_bad_lock_is_one_sentence(text: str) -> None:
    with pytest.raises(BadInput):
        lock_file.read(text, "nodes.lock")


def test_a_lock_that_is_no_text(full: Host, tmp_path: Path) -> None:
    (tmp_path / "nodes.lock").write_bytes(b"\xff\xfe\x00[")
    assert run(["sync", str(tmp_path / "nodes.lock")]) == Exit.BAD_INPUT


def test_doctor_finds_nothing_where_nothing_is_wrong(full: Host) -> None:
    assert codes(full, deep=True) == []
    assert run(["doctor"]) == 0


def fake(now: generations.Generation, name: str, version: str) -> None:
    info = next(now.path.glob("lib/python3*/site-packages")) / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n\n")


OLD, NEW = Machine(True, "470.82.01"), Machine(True, "595.10")


@pytest.mark.parametrize(
    ("torch", "others", "machine", "found"),
    [
        ("2.13.0+cpu", {}, Machine(), []),
        ("2.13.0+cpu", {}, NEW, ["torch-cpu"]),
        ("2.13.0+cu128", {}, OLD, ["driver"]),
        ("2.13.0+cu128", {}, NEW, []),
        ("2.13.0", {"nvidia_cuda_runtime_cu12": "12.8"}, OLD, ["driver"]),
        ("2.13.0", {"nvidia_cuda_runtime": "13.0.1"}, Machine(True, "570.1"), ["driver"]),
        ("2.13.0+cu118", {}, OLD, []),
    ],
)
def test_doctor_knows_cards_and_drivers(
    host: Host, torch: str, others: dict[str, str], machine: Machine, found: list[str]
) -> None:
    for name, version in {"torch": torch, **others}.items():
        fake(generations.current(host), name, version)
    generations.accept(host)
    assert [ill.code for ill in look(host, machine=machine)] == found


def test_doctor_sees_what_something_else_installed(full: Host) -> None:
    fake(generations.current(full), "stranger", "1.0")
    assert codes(full) == ["foreign-edit"]
    assert run(["doctor", "--accept"]) == 0 and codes(full) == []


def test_doctor_names_folders_that_cannot_be_used(full: Host, tmp_path: Path) -> None:
    full.input.rmdir()
    full.input.write_text("")
    (full.models / "loras").mkdir(exist_ok=True)
    (full.models / "loras/a.safetensors").symlink_to(tmp_path / "nowhere")
    assert sorted(codes(full)) == ["folder", "model-gone"]
    changed = full.with_config(model_paths=(tmp_path / "unplugged",))
    assert sorted(codes(changed)) == ["folder", "folder", "model-gone"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody who may not read")
def test_doctor_names_a_folder_that_it_may_not_read(full: Host) -> None:
    with tempfile.TemporaryDirectory() as name:
        moved = Path(name, "rack")
        full.root.rename(moved)
        for folder in (Path(name), moved, moved / "generations"):
            folder.chmod(0o755)
        (moved / "output").chmod(0o700)
        os.seteuid(65534)
        try:
            told = [ill.what for ill in _folders(Host(moved, full.config)) if "output" in ill.what]
        finally:
            os.seteuid(0)
        assert told == [f"{moved / 'output'} cannot be read and written"]
        moved.rename(full.root)


def test_doctor_tells_a_full_disk(full: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noderack_cli.doctor.LITTLE", 1 << 60)
    assert codes(full) == ["disk"]


def test_doctor_names_each_ill(full: Host) -> None:
    now = generations.current(full)
    packages = next(now.path.glob("lib/python3*/site-packages"))
    (full.models / "checkpoints/shapes.safetensors").unlink()
    edited = packages / "film/__init__.py"
    edited.chmod(0o644)
    edited.write_text("changed = True\n")
    for name in ("opencv_python", "opencv_python_headless"):
        (packages / f"{name}-1.0.dist-info").mkdir()
        (packages / f"{name}-1.0.dist-info/METADATA").write_text(f"Name: {name}\nVersion: 1.0\n\n")
    (packages / "lib-1.0.dist-info").rename(packages / "gone-1.0.dist-info")
    assert {"model-gone", "overlap", "foreign-edit"} <= set(codes(full, deep=True))
    shutil.rmtree(packages / "film-1.0.dist-info")
    assert "pack-gone" in codes(full)
    now.python.unlink()
    assert "python" in codes(full)
    full.env.unlink()
    assert codes(full) == ["no-environment"]
    assert run(["doctor"]) == Exit.BAD_INPUT
