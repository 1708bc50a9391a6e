"""House rules that a machine can see: sizes, names, import directions, what an import may do, live links."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("registry", "host", "cli", "plugins", "site")
NAMES_THAT_SAY_NOTHING = {"utils", "common", "helpers", "misc", "manager", "base"}
# What the command line may count on: the base dependencies alone.
LIGHT = ("noderack_cli",)
HEAVY = (
    "torch",
    "safetensors",
    "numpy",
    "PIL",
    "tokenizers",
    "aiohttp",
    "fastapi",
    "sqlmodel",
    "git",
    "jinja2",
)
IMPORT_ALL = """
import importlib, pkgutil, sys
def import_all(name):
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(getattr(package, '__path__', []), name + '.'):
        if not module.name.endswith('__main__') and '.migrations.' not in module.name:
            importlib.import_module(module.name)
"""
REFUSE_HEAVY = f"""
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {HEAVY!r}:
            raise ModuleNotFoundError(f'{{name}} is not a base dependency', name=name)
sys.meta_path.insert(0, Refuse())
"""
WATCH = """
import logging, aiohttp, fastapi, sqlmodel, git
def watch(event, args):
    if '__pycache__' in str(args[:1]):
        return
    writes = event == 'open' and isinstance(args[1], str) and set(args[1]) & set('wax+')
    assert not writes and event not in ('socket.connect', 'subprocess.Popen', 'os.mkdir'), (event, args)
sys.addaudithook(watch)
"""


def sources() -> list[Path]:
    return sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py") if ".venv" not in path.parts)


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in sources():
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def assert_runs(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


def test_files_stay_under_500_lines() -> None:
    tests = sorted((ROOT / "tests").rglob("*.py"))
    assert not [
        str(path) for path in [*sources(), *tests] if path.read_text(encoding="utf-8").count("\n") > 500
    ]


def test_names_say_something() -> None:
    # The modules of plugins/compat have the names that packs import: those are not ours to choose.
    ours = [path for path in sources() if "compat" not in path.parts or "modules" not in path.parts]
    assert not [path for path in ours if path.stem in NAMES_THAT_SAY_NOTHING]


def test_no_module_beside_a_script_hides_the_standard_library() -> None:
    beside = (ROOT / "cli/noderack_cli").glob("*.py")  # pack_try.py there is started as a file
    assert not [path.name for path in beside if path.stem in sys.stdlib_module_names]


def test_no_function_changes_a_global() -> None:
    assert not [
        str(path) for path, tree in trees() if any(isinstance(node, ast.Global) for node in ast.walk(tree))
    ]


def test_a_broad_except_says_why_it_stands() -> None:
    unexplained = []
    for path, tree in trees():
        lines = path.read_text(encoding="utf-8").splitlines()
        broad = [
            node.lineno for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and is_broad(node)
        ]
        unexplained += [f"{path.relative_to(ROOT)}:{line}" for line in broad if "#" not in lines[line - 1]]
    assert not unexplained, "a broad except needs a comment on its line: whose code may raise anything there"


def is_broad(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        kind is None or (isinstance(kind, ast.Name) and kind.id.endswith("Exception")) for kind in kinds
    )


def test_who_may_import_whom() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("package", LIGHT)
def test_the_command_line_needs_the_base_dependencies_alone(package: str) -> None:
    assert_runs(f"{IMPORT_ALL}{REFUSE_HEAVY}import_all({package!r})")


def test_the_host_imports_no_torch() -> None:
    assert_runs(f"{IMPORT_ALL}import_all('noderack_host')\nassert 'torch' not in sys.modules")


@pytest.mark.parametrize("package", ["noderack_host", "noderack_registry", "noderack_cli"])
def test_an_import_writes_nothing_and_starts_no_log(package: str) -> None:
    assert_runs(f"{IMPORT_ALL}{WATCH}import_all({package!r})\nassert not logging.getLogger().handlers")


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_says_what_it_is_and_shadows_nothing(room: str) -> None:
    assert (ROOT / room / "README.md").read_text(encoding="utf-8").startswith("# ")
    assert not (ROOT / room / "__init__.py").exists()


def test_links_in_the_pages_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(page for room in ROOMS for page in (ROOT / room).rglob("*.md"))]
    assert not [f"{page.relative_to(ROOT)} → {target}" for page in pages for target in dead_links(page)]


def dead_links(page: Path) -> list[str]:
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    local = [
        target.partition("#")[0]
        for target in targets
        if "://" not in target and not target.startswith("mailto:")
    ]
    return [target for target in local if target and not (page.parent / target).exists()]


def test_every_dependency_has_its_reason() -> None:
    told = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tables = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[project.scripts]")[0]
    declared = re.findall(
        r'"([a-z][a-z0-9_.-]+)(?:\[[a-z]+\])?[>=<~,;"]', tables.partition("dependencies = [")[2]
    )
    assert not [name for name in declared if name not in told and name != "noderack"]
