"""From modules that have been read to the table of node types, in each of the three styles."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noderack_registry.packing.layout import source_modules
from noderack_registry.packing.metadata import pyproject
from noderack_registry.packing.source import open_source
from noderack_registry.packing.syntax import v3
from noderack_registry.packing.syntax.calls import Calls
from noderack_registry.packing.syntax.program import OutOfBudget, Program, Raised
from noderack_registry.packing.syntax.schema import entry_of
from noderack_registry.packing.syntax.statements import Left, Statements
from noderack_registry.packing.syntax.values import Class, Foreign, Function, Module, Table

ROOT = "pack"  # the name under which a root package is read


@dataclass(frozen=True, slots=True)
class TypesFound:
    """What syntax tells: types with their entries ({} if nothing more is known), and what it could not see.

    `places` is the line of each node's class; `web` the folder that the pack serves to browsers; `broken`
    says which modules would not even import.
    """

    node_types: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()
    web: str | None = None
    places: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    broken: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether these are all the types, as far as syntax can promise it."""
        return not self.unseen


def node_types_from_source(where: str | Path, absent: Collection[str] = ()) -> TypesFound:
    """The node types of a pack at PATH, GIT[@REF] or ZIP, without running its code. Raises PackError.

    Modules of other distributions are taken to be installed, except those in `absent`.
    """
    with open_source(where) as source:
        return read_modules(source.root, source_modules(source, pyproject(source.root)), absent)


def read_modules(root: Path, files: Sequence[str], absent: Collection[str] = ()) -> TypesFound:
    """The node types of the modules in `files` (paths below `root`), where the modules `absent` are not."""
    found = [_read(root.resolve(), file, absent) for file in files]
    types: dict[str, Mapping[str, Any]] = {}
    places: dict[str, tuple[str, int]] = {}
    for each in found:
        types.update(each.node_types)
        places.update(each.places)
    return TypesFound(
        types,
        tuple(dict.fromkeys(text for each in found for text in each.unseen)),
        next((each.web for each in found if each.web), None),
        places,
        tuple(text for each in found for text in each.broken),
    )


def _read(root: Path, file: str, absent: Collection[str]) -> TypesFound:
    program = Program(root, ROOT, absent=frozenset(absent))
    program.statements = Statements(program)
    if file == "__init__.py":
        module = program.add(ROOT, root / file)
    else:
        program.paths.append(root)
        parts = Path(file).with_suffix("").parts
        module = program.add(".".join(parts[:-1] if parts[-1] == "__init__" else parts), root / file)
    broken: list[str] = []
    try:
        program.load(module)
    except (Raised, Left) as cause:
        broken.append(f"{file}: would fail while it is imported: {cause or 'it raises'}")
    except (OutOfBudget, RecursionError):
        broken.append(f"{file}: computes more while it is imported than the reader follows")
    program.steps = 0  # what it costs to look at the nodes is counted apart
    return _collect(program, module, broken)


def _collect(program: Program, module: Module, broken: list[str]) -> TypesFound:
    calls = program.statements.expressions.calls
    mapping = module.names.get("NODE_CLASS_MAPPINGS")
    titles = module.names.get("NODE_DISPLAY_NAME_MAPPINGS")
    titles = titles if isinstance(titles, dict) else {}
    unseen = list(broken)
    classes: dict[str, Any] = {}
    entries: dict[str, dict[str, Any]] = {}
    if isinstance(mapping, Table) and (mapping or mapping.missing):
        classes = {key: cls for key, cls in mapping.items() if isinstance(key, str)}
        unseen += [f"{place}: node types under names that syntax does not tell" for place in mapping.missing]
    elif isinstance(mapping, Foreign):
        unseen.append(f"NODE_CLASS_MAPPINGS comes from {mapping.path}, which syntax does not tell")
    elif isinstance(module.names.get("comfy_entrypoint"), Function):
        classes, missed = v3.listed(calls, module.names["comfy_entrypoint"])
        unseen += missed
    entries.update(v3.typed_functions(calls, module))
    classes.update({k: v for k, v in program.host_table.items() if isinstance(k, str)})
    entries.update({key: _entry(calls, cls, titles.get(key)) for key, cls in classes.items()})
    web = module.names.get("WEB_DIRECTORY")
    places = {key: place for key, cls in classes.items() if (place := _place(program, cls))}
    return TypesFound(entries, tuple(unseen), web if isinstance(web, str) else None, places, tuple(broken))


def _entry(calls: Calls, cls: Any, title: Any) -> dict[str, Any]:
    schema = v3.schema_of(calls, cls) if isinstance(cls, Class) else None
    return v3.entry_of_schema(calls, schema) if schema is not None else entry_of(calls, cls, title)


def _place(program: Program, cls: Any) -> tuple[str, int] | None:
    if not isinstance(cls, Class) or not cls.line:
        return None
    file = cls.module.file
    return (
        file.relative_to(program.root).as_posix() if file.is_relative_to(program.root) else str(file),
        cls.line,
    )
