"""What check finds in packs with one fault each, and what --fix mends."""

import shutil
from pathlib import Path

import pytest
from noderack_registry.packing.check import check, fix

CASES = Path(__file__).parents[1] / "cases" / "packs"
NODE = (CASES / "single_node.py").read_text()


def pack(folder: Path, code: str = NODE, **files: str) -> Path:
    folder.mkdir()
    (folder / "__init__.py").write_text(code)
    project = '[project]\nname = "p"\nversion = "1.0"\ndescription = "d"\nlicense = "MIT"\n'
    for name, text in {"pyproject_toml": project, "README_md": "# p", **files}.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


def rules(folder: Path, level: str = "") -> set[str]:
    return {finding.rule for finding in check(folder).findings if finding.level.startswith(level)}


def test_a_clean_pack_has_no_findings(tmp_path: Path) -> None:
    assert not check(pack(tmp_path / "p")).findings


@pytest.mark.parametrize(
    ("code", "rule", "level"),
    [
        ("eval('1')", "eval", "warning"),
        ("import base64\nexec(base64.b64decode('cGFzcw=='))", "obfuscation", "error"),
        (
            "_ = lambda data: __import__('zlib').decompress(data)\nexec((_)(b'abc'))",
            "obfuscation",
            "error",
        ),
        ("SingleNode.RETURN_NAMES = ('a', 'b')", "schema", "error"),
        (
            "class N:\n    FUNCTION = 'gone'\n    def INPUT_TYPES(): return {}\n    def run(self): pass",
            "schema",
            "error",
        ),
        (
            "class N:\n    FUNCTION = 'run'\n    RETURN_TYPES = 'IMAGE'\n"
            "    def INPUT_TYPES(): return {}\n    def run(self): pass",
            "schema",
            "error",
        ),
        (
            "class N:\n    FUNCTION = 'run'\n    def INPUT_TYPES(): return {'required': {'q': ('INT',)}}\n"
            "    def run(self): pass",
            "schema",
            "error",
        ),
        ("import subprocess\nsubprocess.run(['pip', 'install', 'x'])", "installs", "error"),
        ("import os\nos.system('ls')", "subprocess", "warning"),
        ("import requests\nrequests.get('https://example.org')", "network-at-import", "error"),
        ("import torch\ntorch.load('x.pt')", "pickle", "note"),
        ("import sys\nsys.path.append('.')", "search-path", "note"),
        ("import pandas", "undeclared-import", "warning"),
        ("try:\n    import pandas\nexcept ImportError:\n    pandas = None", "undeclared-import", "note"),
        ("def broken(:", "syntax", "error"),
        ("NODE_CLASS_MAPPINGS['KSampler'] = SingleNode", "type-clash", "error"),
        ("NODE_CLASS_MAPPINGS[__import__('os').environ['X']] = SingleNode", "unseen-types", "note"),
        ("raise ValueError('no')", "import-fails", "error"),
    ],
)
def test_each_rule_is_found_and_says_how_to_mend(code: str, rule: str, level: str, tmp_path: Path) -> None:
    found = [f for f in check(pack(tmp_path / "p", f"{NODE}\n{code}\n")).findings if f.rule == rule]
    assert found and {f.level for f in found} == {level}
    assert all(f.mend and f.message and f.file for f in found)


@pytest.mark.parametrize(
    "code",
    [
        "def later():\n    import requests\n    return requests.get('https://example.org')",
        "import folder_paths, comfy.utils, nodes, numpy, json",
        "if __name__ == '__main__':\n    import requests\n    requests.get('https://example.org')",
        "model.eval()" if False else "x = {}.get('eval')",
    ],
)
def test_what_is_fine_is_not_found(code: str, tmp_path: Path) -> None:
    assert not rules(pack(tmp_path / "p", f"{NODE}\n{code}\n"), "error") - {"undeclared-import"}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("(['a', 'b'], {'default': 'c'})", "none of its choices"),
        ("('INT', {'default': 9, 'min': 0, 'max': 5})", "outside"),
        ("('INT', {'min': 5, 'max': 1})", "above max"),
        ("'INT'", "not a tuple"),
    ],
)
def test_inputs_that_no_host_can_serve(spec: str, said: str, tmp_path: Path) -> None:
    code = NODE.replace('("INT", {"default": 1})', spec)
    assert any(said in f.message for f in check(pack(tmp_path / "p", code)).findings if f.rule == "schema")


def test_taken_types_are_told(tmp_path: Path) -> None:
    found = check(pack(tmp_path / "p"), {"SingleNode": "other-pack"}).findings
    assert [f.rule for f in found] == ["type-clash"] and "other-pack" in found[0].message


def test_fix_mends_what_is_mechanical(tmp_path: Path) -> None:
    folder = pack(
        tmp_path / "p",
        f"import pandas\n{NODE}",
        requirements_txt="torch==2.1.0\nnumpy>=1.20,<2  # old\neinops\n",
    )
    (folder / "pyproject.toml").unlink()
    mended = fix(folder, check(folder).findings)
    assert {f.rule for f in mended} == {"pinned-core", "undeclared-import", "no-metadata"}
    assert (folder / "requirements.txt").read_text() == "torch\nnumpy>=1.20\neinops\npandas\n"
    assert 'name = "p"' in (folder / "pyproject.toml").read_text()
    assert check(folder).passes and not any(f.edit for f in check(folder).findings)


def test_the_odd_case_passes(tmp_path: Path) -> None:
    shutil.copytree(CASES / "Comfy-Odd Pack", tmp_path / "odd")
    assert check(tmp_path / "odd").passes


@pytest.mark.parametrize("name", ["film", "lettering", "sheet", "wildcards"])
def test_our_own_packs_have_no_errors_or_warnings(name: str) -> None:
    found = check(Path(__file__).parents[2] / "plugins" / name).findings
    assert not [str(f) for f in found if f.level != "note"]


def test_pins_in_pyproject_are_found_at_their_line_and_mended(tmp_path: Path) -> None:
    project = '[project]\nname = "p"\nversion = "1.0"\ndependencies = ["torch==2.1", "numpy<2", "einops"]\n'
    folder = pack(tmp_path / "p", pyproject_toml=project)
    found = [f for f in check(folder).findings if f.rule == "pinned-core"]
    assert [(f.file, f.line) for f in found] == [("pyproject.toml", 4)] * 2
    fix(folder, check(folder).findings)
    assert 'dependencies = ["torch", "numpy", "einops"]' in (folder / "pyproject.toml").read_text()
