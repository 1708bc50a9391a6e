"""Read workflow files: any carrier, any wrapping, told apart by content."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from noderack_host.workflow.carriers import Data, Entry, carrier_of, entries
from noderack_host.workflow.errors import Note, WorkflowError
from noderack_host.workflow.find import Found, find_graphs
from noderack_host.workflow.model import Workflow
from noderack_host.workflow.text import decode, parse

MAX_FILE = 2 * 1024 * 1024 * 1024
MAX_JSON_FILE = 64 * 1024 * 1024
MAX_ENTRIES = 50_000
"""Most nodes, and most links, that a graph may have with its sub-graphs; 1,391 nodes is the most seen."""
_MAX_NESTING = 3
_MAPPED_FROM = 1024 * 1024
_OTHER_TOOLS = ("parameters", "sd-metadata", "invokeai_metadata", "invokeai_graph", "Dream", "fooocus_scheme")
_FORM_OF_KEY = {"workflow": "ui", "prompt": "api"}


def read_workflow(source: Path | bytes | str) -> Workflow:
    """The workflow in a file, in bytes, or in JSON text (a `str` that is no JSON is taken as a path).

    When a file holds several, the first; a note counts the others (`read_workflows` gives all). Raises
    WorkflowError with the place, when the file cannot be opened, is broken, or holds no graph.
    """
    found = read_workflows(source)
    if len(found) == 1:
        return found[0]
    first = found[0]
    more = Note("more-workflows", f"the file holds {len(found)} workflows; this is the first", first.where)
    return Workflow(
        *(first.form, first.ui, first.api, first.source, first.carrier, first.where),
        notes=(*first.notes, more),
    )


def read_workflows(source: Path | bytes | str) -> tuple[Workflow, ...]:
    """Every workflow in a file, at least one. Raises as `read_workflow`."""
    path = _path(source)
    if path is None:
        assert not isinstance(source, Path)
        return tuple(_workflows(source, "", 0))
    try:
        with _opened(path) as data:
            return tuple(_workflows(data, str(path), 0))
    except WorkflowError as error:
        raise error.inside(str(path)) from error.__cause__
    except OSError as cause:
        raise WorkflowError(f"cannot be opened ({cause.strerror or cause})", str(path)) from cause
    except ValueError as cause:  # a path with a NUL in it
        raise WorkflowError("is no file name", repr(str(path))) from cause


def _path(source: Path | bytes | str) -> Path | None:
    if isinstance(source, str) and source.lstrip("\ufeff \t\r\n")[:1] not in ("{", "[", '"', ""):
        return Path(source)
    return source if isinstance(source, Path) else None


@contextmanager
def _opened(path: Path) -> Iterator[Data]:
    """The file's content: small ones read, large ones mapped."""
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        if size > MAX_FILE:
            raise WorkflowError(f"the file is larger than {MAX_FILE} bytes")
        if size < _MAPPED_FROM:
            yield stream.read()
            return
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            yield mapped


def _workflows(data: Data | str, name: str, depth: int) -> list[Workflow]:
    if not isinstance(data, str):
        carrier = carrier_of(data)
        if carrier is not None:
            return _from_carrier(data, carrier, name, depth)
    if len(data) > MAX_JSON_FILE:
        raise WorkflowError(
            f"{len(data)} bytes and no known picture, video or sound; no workflow is that large"
        )
    value = parse(data if isinstance(data, str) else decode(data[:]))
    found = [_workflow(group, name, "json", ()) for group in _groups(find_graphs(value))]
    if not found:
        raise WorkflowError(f"JSON, but no graph in it: {_what_it_is(value)}", "$")
    return found


def _what_it_is(value: Any) -> str:
    if isinstance(value, dict):
        keys = ", ".join(repr(str(key))[:30] for key in list(value)[:5])
        return (
            f"an object with the keys {keys or '(none)'}; a workflow has `nodes`, or values with `class_type`"
        )
    return f"a {type(value).__name__}; a workflow is an object"


def _groups(found: Iterator[Found]) -> Iterator[list[Found]]:
    """Put a graph and the prompt made of it together: neighbours of different form."""
    group: list[Found] = []
    for item in map(_bounded, found):
        if group and (any(item.form == other.form for other in group) or _apart(group[0].where, item.where)):
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def _apart(one: str, other: str) -> bool:
    """Whether two places lie in different items of one list of objects (`templates[0]`, `templates[1]`)."""
    a, b = one.split("."), other.split(".")
    shared = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return shared < min(len(a), len(b)) - 1 and "[" in a[shared] and "[" in b[shared]


def _bounded(found: Found) -> Found:
    """The same graph; raises WorkflowError when it is larger than any that could be run."""
    definitions = found.graph.get("definitions")
    listed = definitions.get("subgraphs") if isinstance(definitions, dict) else None
    listed = listed if isinstance(listed, list) else []
    graphs = [found.graph, *(g for g in listed if isinstance(g, dict))] if found.form == "ui" else []
    for key in ("nodes", "links"):
        count = sum(len(graph[key]) for graph in graphs if isinstance(graph.get(key), (list, dict)))
        if count > MAX_ENTRIES:
            raise WorkflowError(f"{count} {key}; no workflow has more than {MAX_ENTRIES}", found.where)
    if len(found.graph) > MAX_ENTRIES:
        raise WorkflowError(f"{len(found.graph)} nodes; no workflow has more than {MAX_ENTRIES}", found.where)
    return found


def _workflow(group: Sequence[Found], name: str, carrier: str, notes: tuple[Note, ...]) -> Workflow:
    ui = next((f for f in group if f.form == "ui"), None)
    api = next((f for f in group if f.form == "api"), None)
    return Workflow(
        form="ui" if ui else "api",
        ui=ui.graph if ui else None,
        api=api.graph if api else None,
        source=name,
        carrier=carrier,
        where=group[0].where,
        notes=notes,
    )


def _from_carrier(data: Data, carrier: str, name: str, depth: int) -> list[Workflow]:
    if depth > _MAX_NESTING:
        raise WorkflowError("archives inside archives inside archives; unpack it first")
    keys: list[str] = []
    notes: list[Note] = []
    graphs: list[Found] = []
    errors: list[WorkflowError] = []
    whole: list[Workflow] = []
    for entry in _all_entries(data, carrier, errors):
        keys.append(entry.key)
        try:
            if isinstance(entry.text, bytes):
                whole.extend(_nested(entry, entry.text, name, carrier, depth))
            else:
                graphs.extend(_graphs(entry, entry.text))
        except WorkflowError as error:
            errors.append(error.inside(entry.where) if error.where != entry.where else error)
    notes.extend(Note("passed-over", error.reason, error.where) for error in errors)
    whole.extend(_workflow(group, name, carrier, tuple(notes)) for group in _paired(graphs))
    if whole:
        return whole
    raise errors[0] if errors else WorkflowError(_nothing(carrier, keys))


def _all_entries(data: Data, carrier: str, errors: list[WorkflowError]) -> Iterator[Entry]:
    """The entries up to where the container breaks; what broke goes to `errors`."""
    try:
        yield from entries(data, carrier)
    except WorkflowError as error:
        errors.append(error)
    except (IndexError, OverflowError) as cause:
        broken = WorkflowError(f"the {carrier} file is cut short or damaged")
        broken.__cause__ = cause
        errors.append(broken)


def _nested(entry: Entry, data: bytes, name: str, carrier: str, depth: int) -> list[Workflow]:
    inner = _workflows(data, name, depth + 1)
    return [Workflow(w.form, w.ui, w.api, name, carrier, f"{entry.where}: {w.where}", w.notes) for w in inner]


def _graphs(entry: Entry, text: str) -> list[Found]:
    if text.lstrip("\ufeff \t\r\n\0")[:1] not in ("{", "[", '"'):
        return []
    return [_bounded(found) for found in find_graphs(parse(text), entry.where)]


def _paired(graphs: list[Found]) -> Iterator[list[Found]]:
    """A picture holds one workflow, whatever the order and number of its texts; the first of each form."""
    first = [next((g for g in graphs if g.form == form), None) for form in ("ui", "api")]
    group = [g for g in first if g is not None]
    if group:
        yield group


def _nothing(carrier: str, keys: Sequence[str]) -> str:
    other = next((key for key in keys if key in _OTHER_TOOLS), None)
    if other:
        return f"the {carrier} file carries `{other}` of another tool, but no workflow"
    texts = ", ".join(sorted({key for key in keys if key})[:6])
    held = (
        f"only these texts: {texts}" if texts else "no texts at all; web sites and editors often strip them"
    )
    return f"the {carrier} file carries no workflow, {held}"
