"""Any source of a pack to a wheel: what lies where, what it says, same input to same bytes."""

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest
from noderack_registry.packing import NoNodes, PackError, SourceError, build_wheel

CASES = Path(__file__).parents[1] / "cases" / "packs"
PLUGINS = Path(__file__).parents[2] / "plugins"


def opened(wheel: Path) -> tuple[dict[str, bytes], str]:
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    (info,) = {name.split("/")[0] for name in files if ".dist-info/" in name}
    return files, info


def facts(wheel: Path) -> dict[str, Any]:
    files, info = opened(wheel)
    found: dict[str, Any] = json.loads(files[f"{info}/noderack.json"])
    return found


@pytest.mark.parametrize("pack", ["film", "lettering", "sheet", "wildcards"])
def test_example_packs_build_offline_and_reproducibly(pack: str, tmp_path: Path) -> None:
    first = build_wheel(PLUGINS / pack, tmp_path / "a")
    second = build_wheel(PLUGINS / pack, tmp_path / "b")
    assert first.path.read_bytes() == second.path.read_bytes() and first.path.name == second.path.name
    assert first.types.complete and bool(first.types.node_types) is (pack != "lettering")
    assert facts(first.path)["library"] is (pack == "lettering")
    assert set(facts(first.path)["node_types"]) == set(first.types.node_types)


def test_an_untouched_pack_becomes_a_package_with_its_files_in_place(tmp_path: Path) -> None:
    built = build_wheel(CASES / "Comfy-Odd Pack", tmp_path)
    files, info = opened(built.path)
    assert (
        built.path.name == "comfy_odd_pack-1.4.0-py3-none-any.whl"
        and info == "comfy_odd_pack-1.4.0.dist-info"
    )
    base = "custom_nodes/Comfy_Odd_Pack"
    for name in ("__init__.py", "nodes/blur.py", "web/odd.js", "data/palette.json", "prestartup_script.py"):
        assert files[f"{base}/{name}"] == (CASES / "Comfy-Odd Pack" / name).read_bytes()
    assert f"{base}/drafts/secret.txt" not in files, ".comfyignore takes it out"
    assert f"{base}/drafts/shipped.txt" in files, "includes brings it back"
    points = files[f"{info}/entry_points.txt"].decode()
    assert points.count("comfy-odd-pack = custom_nodes.Comfy_Odd_Pack") == 2
    metadata = Parser().parsestr(files[f"{info}/METADATA"].decode())
    assert [line.replace(" @ ", "@ ") for line in metadata.get_all("Requires-Dist", [])] == [
        "einops>=0.7",
        "opencv-python",
        "clip@ git+https://github.com/openai/CLIP.git",
        "sam2@ https://example.org/wheels/sam2-1.0-py3-none-any.whl",
        'pynvml; platform_machine != "aarch64"',
    ]
    told = facts(built.path)
    assert set(told["node_types"]) == {"OddBlur", "Odd Invert"} and told["folder"] == "Comfy-Odd Pack"
    assert told["web"] == f"{base}/web" and told["publisher"] == "odd"
    assert told["prestartup"]["path"] == f"{base}/prestartup_script.py"
    assert told["host_requires"] == ["comfyui-frontend-package>=1.20"]
    assert told["indexes"] == ["https://example.org/simple"]
    assert [model["folder"] for model in told["models"]] == ["upscale_models"]


def test_record_holds_every_file(tmp_path: Path) -> None:
    wheel = build_wheel(CASES / "Comfy-Odd Pack", tmp_path).path
    files, info = opened(wheel)
    lines = [line.rsplit(",", 2) for line in files[f"{info}/RECORD"].decode().splitlines()]
    assert {line[0] for line in lines} == set(files)
    assert all(int(size) == len(files[name]) for name, _, size in lines if size)


def test_a_built_pack_installs_and_imports(tmp_path: Path) -> None:
    wheel = build_wheel(CASES / "Comfy-Odd Pack", tmp_path).path
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from importlib.metadata import distributions\n"
        "(d,) = distributions(path=[sys.argv[1]])\n"
        "print(sorted(d.entry_points.select(group='noderack.packs')['comfy-odd-pack'].load().NODE_CLASS_MAPPINGS))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "site"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['Odd Invert', 'OddBlur']"


def test_a_single_file_is_a_pack(tmp_path: Path) -> None:
    built = build_wheel(CASES / "single_node.py", tmp_path)
    files, _ = opened(built.path)
    assert "custom_nodes/single_node.py" in files and built.entry_modules == ("custom_nodes.single_node",)
    assert set(built.types.node_types) == {"SingleNode"} and built.metadata.version == "0.3"


def test_a_single_file_may_have_a_name_that_is_no_module(tmp_path: Path) -> None:
    odd = shutil.copy(CASES / "single_node.py", tmp_path / "my node-2.py")
    built = build_wheel(odd, tmp_path / "out")
    assert "custom_nodes/my_node_2.py" in opened(built.path)[0]
    assert built.entry_modules == ("custom_nodes.my_node_2",)


@pytest.mark.parametrize(("more", "asks"), [("", True), ("import sys\nsys.path.append('x')\n", False)])
def test_a_package_with_a_file_called_as_the_hosts_module_means_the_hosts(
    more: str, asks: bool, tmp_path: Path
) -> None:
    pack = tmp_path / "logic"
    pack.mkdir()
    (pack / "__init__.py").write_text(f"{more}from .nodes import *\n")
    (pack / "nodes.py").write_text(f"import nodes\n{(CASES / 'single_node.py').read_text()}")
    built = build_wheel(pack, tmp_path / "out")
    assert ("noderack-compat" in built.metadata.requires) == asks


def test_a_folder_of_loose_files_has_an_entry_point_for_each(tmp_path: Path) -> None:
    (tmp_path / "loose").mkdir()
    for name in ("one", "two"):
        shutil.copy(CASES / "single_node.py", tmp_path / "loose" / f"{name}.py")
    built = build_wheel(tmp_path / "loose", tmp_path / "out")
    assert built.entry_modules == ("custom_nodes.loose.one", "custom_nodes.loose.two")


def test_zip_with_and_without_outer_folder(tmp_path: Path) -> None:
    plain, nested = tmp_path / "node.zip", tmp_path / "Comfy-Odd Pack-main.zip"
    for path, top in ((plain, ""), (nested, "Comfy-Odd Pack-main/")):
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted((CASES / "Comfy-Odd Pack").rglob("*")):
                if file.is_file():
                    archive.write(file, top + file.relative_to(CASES / "Comfy-Odd Pack").as_posix())
    for path in (plain, nested):
        built = build_wheel(path, tmp_path / "out")
        assert (
            set(built.types.node_types) == {"OddBlur", "Odd Invert"}
            and built.metadata.name == "comfy-odd-pack"
        )


@pytest.mark.parametrize("name", ["../evil.py", "/abs/evil.py", "a/../../evil.py", "C:\\evil.py"])
def test_zip_that_tries_to_escape_is_refused(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(name, "x")
    with pytest.raises(SourceError, match="would land outside"):
        build_wheel(tmp_path / "bad.zip", tmp_path / "out")
    assert not (tmp_path / "evil.py").exists() and not (tmp_path / "out").exists()


def _git(folder: Path, *args: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    env = {
        "GIT_COMMITTER_DATE": "2024-05-17T10:30:00Z",
        "GIT_AUTHOR_DATE": "2024-05-17T10:30:00Z",
        "PATH": "/usr/bin:/bin",
    }
    subprocess.run(["git", *who, *args], cwd=folder, check=True, capture_output=True, env=env)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two commits; the first is tagged v0.9 and has one node, the second has two."""
    root = tmp_path / "work" / "My-Pack"
    root.mkdir(parents=True)
    source = (CASES / "single_node.py").read_text().replace("__version__", "_v")
    (root / "__init__.py").write_text(source)
    (root / "untracked.bin").write_bytes(b"x")
    (root / ".gitignore").write_text("*.bin\n")
    _git(root, "init", "-q", "-b", "main")
    _git(root, "add", "-A")
    _git(root, "commit", "-qm", "one")
    _git(root, "tag", "v0.9")
    (root / "__init__.py").write_text(
        source.replace('{"SingleNode": SingleNode}', '{"SingleNode": SingleNode, "B": SingleNode}')
    )
    _git(root, "commit", "-qam", "two")
    return root


def test_git_at_any_ref(repository: Path, tmp_path: Path) -> None:
    tagged = build_wheel(f"{repository}@v0.9", tmp_path / "out")
    assert tagged.metadata.version == "0.9" and set(tagged.types.node_types) == {"SingleNode"}
    newest = build_wheel(f"git+file://{repository}@main", tmp_path / "out")
    assert set(newest.types.node_types) == {"SingleNode", "B"}
    assert newest.metadata.version == "0.0.202405171030", "the commit's date, where nothing is declared"
    told = facts(newest.path)
    assert len(told["commit"]) == 40 and told["folder"] == "My-Pack"
    assert not any(name.endswith(".bin") for name in opened(newest.path)[0])


def test_git_clone_and_working_copy_give_the_same_bytes(repository: Path, tmp_path: Path) -> None:
    here = build_wheel(repository, tmp_path / "a").path
    there = build_wheel(f"{repository}@main", tmp_path / "b").path
    assert hashlib.sha256(here.read_bytes()).digest() == hashlib.sha256(there.read_bytes()).digest()


@pytest.mark.parametrize(
    ("source", "said", "error"),
    [
        ("nowhere", "neither a folder, a zip nor a git address", SourceError),
        ("empty", "has no __init__.py, and no file that sets NODE_CLASS_MAPPINGS", NoNodes),
        ("git+file:///nowhere/x.git", "git says", SourceError),
    ],
)
def test_what_cannot_be_built_says_why(
    source: str, said: str, error: type[PackError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=said) as raised:
        build_wheel(source, tmp_path / "out")
    assert raised.value.hint and not (tmp_path / "out").exists()


def commit_here(folder: Path, *words: str) -> None:
    settings = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always"]
    subprocess.run(["git", *settings, *words], cwd=folder, check=True, capture_output=True)


def test_a_submodule_comes_with_its_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("inner", "VALUE = 1\n"), ("outer", "NODE_CLASS_MAPPINGS = {'A': object}\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(text)
        commit_here(tmp_path / name, "init", "-q")
        commit_here(tmp_path / name, "add", "-A")
        commit_here(tmp_path / name, "commit", "-qm", "one")
    commit_here(tmp_path / "outer", "submodule", "add", "-q", str(tmp_path / "inner"), "part")
    commit_here(tmp_path / "outer", "commit", "-qm", "two")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "protocol.file.allow")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "always")
    built = build_wheel(f"{(tmp_path / 'outer').as_uri()}@HEAD", tmp_path / "out")
    files, _ = opened(built.path)
    assert files["custom_nodes/outer/part/__init__.py"] == b"VALUE = 1\n"
    assert set(built.types.node_types) == {"A"}


def test_a_backends_wheel_of_the_whole_tree_has_the_files_that_code_reads(tmp_path: Path) -> None:
    pack = tmp_path / "whole"
    pack.mkdir()
    (pack / "__init__.py").write_text("NODE_CLASS_MAPPINGS = {'A': object}\n")
    (pack / "words.json").write_text("{}")
    (pack / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "whole"\nversion = "1.0"\n[project.entry-points."comfyui.custom_nodes"]\n'
        'whole = "whole"\n[tool.hatch.build.targets.wheel]\nbypass-selection = true\n'
        '[tool.hatch.build.targets.wheel.force-include]\n"__init__.py" = "whole/__init__.py"\n'
    )
    files, _ = opened(build_wheel(pack, tmp_path / "out").path)
    assert files["whole/words.json"] == b"{}" and "whole/pyproject.toml" in files


def test_what_the_fields_host_brings_is_asked_for_though_nothing_declares_it(tmp_path: Path) -> None:
    pack = tmp_path / "Silent"
    (pack / "models" / "transformers").mkdir(parents=True)
    (pack / "__init__.py").write_text(
        "import torch, yaml, folder_paths\nfrom einops import rearrange\nNODE_CLASS_MAPPINGS = {}\n"
        "def later():\n    import torchvision.transforms\n"
    )
    (pack / "models" / "transformers" / "x.py").write_text("import transformers\nfrom . import av\n")
    (pack / "requirements.txt").write_text("einops>=0.8\n")
    built = build_wheel(pack, tmp_path / "out")
    assert built.metadata.requires == (
        *("einops>=0.8", "pyyaml", "torchvision", "transformers"),
        "noderack-compat",
    )
    assert any("imports pyyaml, torchvision, transformers without saying so" in note for note in built.notes)


def test_a_pack_with_its_own_backend_asks_for_them_too(tmp_path: Path) -> None:
    pack = tmp_path / "Own"
    (pack / "own_pack").mkdir(parents=True)
    (pack / "own_pack" / "__init__.py").write_text("import folder_paths, scipy\nNODE_CLASS_MAPPINGS = {}\n")
    (pack / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "own-pack"\nversion = "1.0"\ndependencies = ["numpy"]\n'
        '[project.entry-points."comfyui.custom_nodes"]\nown = "own_pack"\n'
    )
    files, info = opened(build_wheel(pack, tmp_path / "out").path)
    asked = Parser().parsestr(files[f"{info}/METADATA"].decode()).get_all("Requires-Dist")
    assert asked == ["numpy", "scipy", "noderack-compat"]
