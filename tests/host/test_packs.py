import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from noderack_host.packs import load_packs

V1 = """
class Grain:
    RETURN_TYPES = ()
    FUNCTION = "run"
    INPUT_TYPES = classmethod(lambda cls: {"required": {}})
    def run(self): return ()
NODE_CLASS_MAPPINGS = {"Grain": Grain, "Broken": object}
NODE_DISPLAY_NAME_MAPPINGS = {"Grain": "Film grain"}
WEB_DIRECTORY = "./js"
"""
NATIVE = """
from noderack_host.native import node
@node
def shout(text: str) -> str:
    return text.upper()
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose modules can be imported, and are forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("pack_"):
            del sys.modules[name]


def point(folder: Path, name: str, source: str, value: str | None = None) -> EntryPoint:
    (folder / f"pack_{name}.py").write_text(source, encoding="utf-8")
    return EntryPoint(name, value or f"pack_{name}", "noderack.packs")


def test_each_form_of_pack_is_loaded(modules: Path) -> None:
    (modules / "js").mkdir()
    points = [
        point(modules, "classes", V1),
        point(modules, "typed", NATIVE),
        point(modules, "mapping", V1, "pack_mapping:NODE_CLASS_MAPPINGS"),
    ]
    packs = load_packs(points)
    assert packs.failures == ()
    assert set(packs.nodes) == {"Grain", "Broken", "Shout"}
    assert packs.display_names == {"Grain": "Film grain", "Shout": "Shout"}
    assert packs.packs[0].web_directory == modules / "js"
    assert packs.modules["Shout"] == "custom_nodes.typed"
    assert packs.owner("Grain").name == "mapping"
    assert [clash.node_type for clash in packs.conflicts] == ["Grain", "Broken"]


def test_a_broken_class_is_told_apart_from_its_pack(modules: Path) -> None:
    schemas, failures = load_packs([point(modules, "v1", V1)]).schemas()
    assert set(schemas) == {"Grain"} and schemas["Grain"].display_name == "Film grain"
    assert [(failure.node_type, failure.pack) for failure in failures] == [("Broken", "v1")]
    assert "INPUT_TYPES failed" in failures[0].cause


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("x = 1", "NoNodes: it brings no nodes"),
        ("def comfy_entrypoint(): return 1", "NoNodes: it gave 1"),
        ("from noderack_host.native import node\n@node\ndef f(a): return a", "parameter a has no type"),
    ],
)
def test_a_pack_that_fails_is_data(modules: Path, source: str, cause: str) -> None:
    packs = load_packs([point(modules, "bad", source), point(modules, "good", NATIVE)])
    assert [failure.pack for failure in packs.failures] == ["bad"]
    assert cause in packs.failures[0].cause
    assert "Traceback" in packs.failures[0].trace
    assert list(packs.nodes) == ["Shout"]


def test_only_some_packs(modules: Path) -> None:
    points = [point(modules, "a", V1), point(modules, "b", NATIVE)]
    assert list(load_packs(points, only=["b"]).nodes) == ["Shout"]


def test_a_prestartup_script_runs_before_its_pack_and_may_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    points = []
    for name, script in (("early", "import os\nos.environ['PACK_EARLY'] = 'set'\n"), ("late", "1 / 0\n")):
        folder = tmp_path / "custom_nodes" / f"pack_{name}"
        folder.mkdir(parents=True)
        (folder / "prestartup_script.py").write_text(script)
        source = f"import os\nassert os.environ.get('PACK_EARLY') == 'set'\n{V1.replace('Grain', name)}"
        (folder / "__init__.py").write_text(source)
        points.append(EntryPoint(name, f"custom_nodes.pack_{name}", "noderack.packs"))
    monkeypatch.setenv("PACK_EARLY", "")
    packs = load_packs(points)
    assert packs.failures == () and {"early", "late"} <= set(packs.nodes)
    assert "prestartup_script.py of custom_nodes.pack_late failed" in caplog.text
    for name in [name for name in sys.modules if name.startswith("custom_nodes")]:
        del sys.modules[name]


def test_a_class_of_the_older_form_may_be_listed_with_a_schema_that_names_it(modules: Path) -> None:
    source = (
        "from noderack_host.v3 import ComfyExtension\n"
        "class Old:\n"
        "    INPUT_TYPES = classmethod(lambda cls: {'required': {'x': ('INT',)}})\n"
        "    RETURN_TYPES, FUNCTION = ('INT',), 'go'\n"
        "    def go(self, x):\n        return (x,)\n"
        "class Stub:\n    node_id = 'Older'\n"
        "Old.GET_SCHEMA = lambda: Stub\n"
        "class Ext(ComfyExtension):\n"
        "    async def get_node_list(self):\n        return [Old]\n"
        "async def comfy_entrypoint():\n    return Ext()\n"
    )
    found = load_packs([point(modules, "listed", source)])
    assert found.failures == () and list(found.nodes) == ["Older"]
    assert found.schema("Older").inputs[0].name == "x"
