"""Node types told from syntax: each way that packs of the field build their mapping, as a small pack of its own."""

# ruff: noqa: E501 - code of packs in strings

from pathlib import Path

import pytest
from noderack_registry.packing import node_types_from_source

NODE = """
class {name}:
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "run"
    @classmethod
    def INPUT_TYPES(cls):
        return {{"required": {{"image": ("IMAGE",)}}}}
"""
A, B, C = (NODE.format(name=name) for name in "ABC")

# name → (files, types that importing gives)
WAYS: dict[str, tuple[dict[str, str], set[str]]] = {
    "literal": ({"__init__": A + "NODE_CLASS_MAPPINGS = {'a': A}"}, {"a"}),
    "update": ({"__init__": A + B + "NODE_CLASS_MAPPINGS = {'a': A}\nNODE_CLASS_MAPPINGS.update({'b': B})"}, {"a", "b"}),
    "item": ({"__init__": A + "NODE_CLASS_MAPPINGS = {}\nNODE_CLASS_MAPPINGS['a'] = A"}, {"a"}),
    "union": ({"__init__": A + B + "NODE_CLASS_MAPPINGS = {'a': A} | {'b': B}"}, {"a", "b"}),
    "spread": ({"__init__": A + "from .m import M\nNODE_CLASS_MAPPINGS = {**M, 'a': A}", "m": B + "M = {'b': B}"}, {"a", "b"}),
    "comprehension": ({"__init__": A + B + "NODE_CLASS_MAPPINGS = {c.__name__: c for c in [A, B]}"}, {"A", "B"}),
    "zip": ({"__init__": A + B + "NODE_CLASS_MAPPINGS = dict(zip(['a', 'b'], [A, B]))"}, {"a", "b"}),
    "from import": ({"__init__": "from .m import NODE_CLASS_MAPPINGS", "m": A + "NODE_CLASS_MAPPINGS = {'a': A}"}, {"a"}),
    "star import": ({"__init__": "from .m import *\nNODE_CLASS_MAPPINGS = {'a': A, 'b': B}", "m": A + B}, {"a", "b"}),
    "decorator": (
        {
            "__init__": "from .reg import NODE_CLASS_MAPPINGS\nfrom . import m",
            "reg": "NODE_CLASS_MAPPINGS = {}\ndef node(name):\n    def take(cls):\n        NODE_CLASS_MAPPINGS[name] = cls\n"
            "        return cls\n    return take",
            "m": "from .reg import node\n@node('a b')" + A,
        },
        {"a b"},
    ),
    "subclass hook": (
        {
            "__init__": "class Base:\n    all = {}\n    def __init_subclass__(cls, **kw):\n        Base.all[cls.NAME] = cls\n"
            "class X(Base):\n    NAME = 'x'\nNODE_CLASS_MAPPINGS = Base.all"
        },
        {"x"},
    ),
    "names from attributes": ({"__init__": A + "A.NAME = 'Pretty ' + A.__name__\nNODE_CLASS_MAPPINGS = {A.NAME: A}"}, {"Pretty A"}),
    "enumeration": (
        {"__init__": A + "from enum import Enum\nclass N(Enum):\n    A = 'a!'\nNODE_CLASS_MAPPINGS = {N.A.value: A}"},
        {"a!"},
    ),
    "own files in a loop": (
        {
            "__init__": "import os, importlib\nNODE_CLASS_MAPPINGS = {}\nfor f in os.listdir(os.path.join(os.path.dirname(__file__), 'n')):\n"
            "    if f.endswith('.py') and f != '__init__.py':\n"
            "        m = importlib.import_module(f'.n.{f[:-3]}', __name__)\n        NODE_CLASS_MAPPINGS.update(m.NODE_CLASS_MAPPINGS)",
            "n/__init__": "",
            "n/one": A + "NODE_CLASS_MAPPINGS = {'a': A}",
            "n/two": B + "NODE_CLASS_MAPPINGS = {'b': B}",
        },
        {"a", "b"},
    ),
    "by file": (
        {
            "__init__": "import importlib.util, pathlib\nNODE_CLASS_MAPPINGS = {}\n"
            "for f in sorted(pathlib.Path(__file__).parent.glob('py/*.py')):\n"
            "    s = importlib.util.spec_from_file_location(f.stem, f)\n    m = importlib.util.module_from_spec(s)\n"
            "    s.loader.exec_module(m)\n    if hasattr(m, 'NODE_CLASS_MAPPINGS'):\n"
            "        NODE_CLASS_MAPPINGS.update(m.NODE_CLASS_MAPPINGS)",
            "py/one": A + "NODE_CLASS_MAPPINGS = {'a': A}",
            "py/none": "x = 1",
        },
        {"a"},
    ),
    "search path": (
        {
            "__init__": "import sys, os\nsys.path.insert(0, os.path.join(os.path.dirname(__file__), 'lib'))\n"
            "from deep.m import NODE_CLASS_MAPPINGS",
            "lib/deep/m": A + "NODE_CLASS_MAPPINGS = {'a': A}",
        },
        {"a"},
    ),
    "members of a module": (
        {
            "__init__": "import inspect\nfrom . import m\nNODE_CLASS_MAPPINGS = {n: c for n, c in inspect.getmembers(m, inspect.isclass)"
            " if hasattr(c, 'INPUT_TYPES')}",
            "m": A + "class Plain: pass\n" + B,
        },
        {"A", "B"},
    ),
    "all names of a module that look like nodes": (
        {
            "__init__": "import inspect\nfrom . import m\nNODE_CLASS_MAPPINGS = {}\nfor name, item in inspect.getmembers(m):\n"
            "    if inspect.isclass(item) and hasattr(item, 'INPUT_TYPES') and hasattr(item, 'RETURN_TYPES'):\n"
            "        NODE_CLASS_MAPPINGS[name] = item",
            "m": "import os, shutil\nfrom collections.abc import Mapping\nfrom PIL import Image\nfrom server import PromptServer\n"
            "class Lazy(Mapping): pass\ntool = shutil.which('tool')\nbest = max([tool, os.environ.get('TOOL')], key=len)\n" + A,
        },
        {"A"},
    ),
    "a flag that only running could lower": (
        {
            "__init__": A + "import importlib.util\nthere = True\nif importlib.util.find_spec('x') is None:\n    there = False\n"
            "NODE_CLASS_MAPPINGS = {}\nif there:\n    NODE_CLASS_MAPPINGS['a'] = A",
        },
        {"a"},
    ),
    "types compared by identity": (
        {
            "__init__": A + "def named(name):\n    if type(name) is not str:\n        raise TypeError\n    return name\n"
            "NODE_CLASS_MAPPINGS = {named('a'): A}",
        },
        {"a"},
    ),
    "optional dependency": (
        {"__init__": A + B + "NODE_CLASS_MAPPINGS = {'a': A}\ntry:\n    import torch\n    NODE_CLASS_MAPPINGS['b'] = B\nexcept ImportError:\n    pass"},
        {"a", "b"},
    ),
    "own module missing": (
        {"__init__": A + "NODE_CLASS_MAPPINGS = {'a': A}\ntry:\n    from .gone import X\n    NODE_CLASS_MAPPINGS['x'] = X\nexcept ImportError:\n    pass"},
        {"a"},
    ),
    "made by a function": (
        {"__init__": "def make(n):\n    return type(n, (), {'RETURN_TYPES': ('INT',)})\nNODE_CLASS_MAPPINGS = {f'Switch {i}': make(f'S{i}') for i in range(3)}"},
        {"Switch 0", "Switch 1", "Switch 2"},
    ),
    "schema form": (
        {
            "__init__": "from comfy_api.latest import ComfyExtension, io\nclass N(io.ComfyNode):\n    @classmethod\n"
            "    def define_schema(cls):\n        return io.Schema(node_id='N 3', inputs=[io.Image.Input('image')])\n"
            "class E(ComfyExtension):\n    async def get_node_list(self):\n        return [N]\n"
            "async def comfy_entrypoint():\n    return E()"
        },
        {"N 3"},
    ),
    "typed functions": (
        {"__init__": "from noderack_host.native import node, Image\n@node\ndef make_it_blue(image: Image) -> Image:\n    return image\n"
         "@node(name='Other')\ndef other(image: Image) -> Image:\n    return image\ndef helper(): pass"},
        {"MakeItBlue", "Other"},
    ),
}  # fmt: skip


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = folder / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


@pytest.mark.parametrize("way", WAYS)
def test_types_equal_what_importing_gives(way: str, tmp_path: Path) -> None:
    files, types = WAYS[way]
    if way in ("schema form", "typed functions"):
        files = {**files, "marker": "comfy_entrypoint = None"}
    found = node_types_from_source(write(tmp_path / "pack", files))
    assert set(found.node_types) == types and found.complete, found.unseen


UNSEEN = {
    "computed name": A + "import os\nNODE_CLASS_MAPPINGS = {'a': A, os.environ['X']: A}",
    "from outside": "from somewhere import NODE_CLASS_MAPPINGS",
    "raises": A + "NODE_CLASS_MAPPINGS = {'a': A}\nraise ValueError",
    "syntax": "NODE_CLASS_MAPPINGS = {",
    "endless": "def f(x):\n    return f(x + 1)\nNODE_CLASS_MAPPINGS = {f(0): 1}",
}


@pytest.mark.parametrize("way", UNSEEN)
def test_what_cannot_be_seen_is_told_and_never_guessed(way: str, tmp_path: Path) -> None:
    found = node_types_from_source(write(tmp_path / "pack", {"__init__": UNSEEN[way]}))
    assert found.unseen and set(found.node_types) <= {"a"}


def test_nothing_of_the_pack_is_run(tmp_path: Path) -> None:
    code = (
        f"open({str(tmp_path / 'trace')!r}, 'w').write('x')\nimport os\nos.system('touch {tmp_path}/trace')\n"
    )
    node_types_from_source(
        write(tmp_path / "pack", {"__init__": code + A + "NODE_CLASS_MAPPINGS = {'a': A}"})
    )
    assert not (tmp_path / "trace").exists()


def test_no_file_outside_the_pack_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "names.json").write_text('{"stolen": 1}')
    code = f"import json\nNODE_CLASS_MAPPINGS = json.load(open({str(tmp_path / 'names.json')!r}))"
    found = node_types_from_source(write(tmp_path / "pack", {"__init__": code}))
    assert not found.node_types and found.unseen


def test_entries_hold_what_is_written_down_and_mark_the_rest(tmp_path: Path) -> None:
    code = (
        "import folder_paths\nclass A:\n    RETURN_TYPES = ('MODEL',)\n    CATEGORY = 'x'\n    @classmethod\n"
        "    def INPUT_TYPES(s):\n        return {'required': {'ckpt': (folder_paths.get_filename_list('checkpoints'),),"
        " 'n': ('INT', {'default': 1})}}\nNODE_CLASS_MAPPINGS = {'a': A}\nNODE_DISPLAY_NAME_MAPPINGS = {'a': 'Load A'}"
    )
    entry = node_types_from_source(write(tmp_path / "pack", {"__init__": code})).node_types["a"]
    assert entry["output"] == ["MODEL"] and entry["display_name"] == "Load A" and entry["category"] == "x"
    assert entry["input"]["required"] == {"ckpt": [None], "n": ["INT", {"default": 1}]}
    assert entry["unknown"] == ["input.required.ckpt[0]"]


def test_older_classes_that_a_function_gives_a_schema_are_seen(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").write_text(
        "from dataclasses import dataclass\nfrom comfy_api.latest import ComfyExtension\nfrom . import old\n"
        "def stub(module):\n"
        "    @dataclass\n    class Stub:\n        node_id: str\n        title: str | None\n"
        "    def give(cls, name, title=None):\n"
        "        schema = Stub(name, title)\n"
        "        if not hasattr(cls, 'GET_SCHEMA'):\n            setattr(cls, 'GET_SCHEMA', lambda: schema)\n"
        "        return cls\n"
        "    return [give(m[1], m[0]) for m in module.NODE_CLASS_MAPPINGS.items()]\n"
        "class Ext(ComfyExtension):\n"
        "    async def get_node_list(self):\n        return [*stub(old)]\n"
        "async def comfy_entrypoint():\n    return Ext()\n"
    )
    (tmp_path / "old.py").write_text(
        "class A:\n    RETURN_TYPES = ('INT',)\nclass B:\n    RETURN_TYPES = ('INT',)\n"
        "NODE_CLASS_MAPPINGS = {'First A': A, 'Second B': B}\n"
    )
    seen = node_types_from_source(tmp_path)
    assert set(seen.node_types) == {"First A", "Second B"} and seen.unseen == ()
    assert seen.node_types["First A"]["output"] == ["INT"]


def test_what_is_told_to_be_absent_is_absent_with_all_that_is_in_it(tmp_path: Path) -> None:
    part = "try:\n    import {0}\n    NODE_CLASS_MAPPINGS['{0}'] = A\nexcept ImportError:\n    pass\n"
    names = ("lib", "lib.old", "lib.old.deep", "library")
    files = {"__init__": A + "NODE_CLASS_MAPPINGS = {}\n" + "".join(map(part.format, names))}
    found = node_types_from_source(write(tmp_path / "pack", files), ["lib.old"])
    assert set(found.node_types) == {"lib", "library"}
