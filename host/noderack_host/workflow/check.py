"""What is wrong with a workflow, all of it, each with its place: in the file, in the graph, for a host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from noderack_host.schema import InputSchema, NodeSchema
from noderack_host.workflow.errors import WorkflowError
from noderack_host.workflow.graph import OUT_ID, Document, Graph, Node
from noderack_host.workflow.groups import group_name
from noderack_host.workflow.layout import is_link
from noderack_host.workflow.slots import fits
from noderack_host.workflow.widgets import is_widget

if TYPE_CHECKING:
    from noderack_host.workflow.convert import Prompt
    from noderack_host.workflow.model import Workflow

Level = Literal["error", "warning"]
_SEVERE = frozenset(("unreadable", "recursion", "no-definition", "circle", "missing-input", "out-of-range"))


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: an error keeps the workflow from running, a warning does not."""

    level: Level
    code: str
    message: str
    where: str

    def as_dict(self) -> dict[str, str]:
        return {"level": self.level, "code": self.code, "message": self.message, "where": self.where}


def _finding(code: str, message: str, where: str) -> Finding:
    return Finding("error" if code in _SEVERE else "warning", code, message, where)


def check_workflow(workflow: Workflow, schemas: Mapping[str, NodeSchema]) -> tuple[Finding, ...]:
    """Everything wrong that can be seen without running it; types that `schemas` lacks are warned of once."""
    found = [_finding(note.code, note.message, note.where) for note in workflow.notes]
    if workflow.ui is not None:
        document = workflow.document()
        found.extend(_graph_findings(document))
    try:
        conversion = workflow.prompt(schemas)
    except WorkflowError as error:
        return (*found, _finding("recursion", error.reason, error.where))
    found.extend(_finding(note.code, note.message, note.where) for note in conversion.notes)
    found.extend(_prompt_findings(conversion.prompt, schemas))
    if workflow.ui is not None and workflow.api is not None and not _alike(conversion.prompt, workflow.api):
        sentence = "the prompt embedded beside the graph is of another graph; the graph counts"
        found.append(_finding("other-prompt", sentence, "prompt"))
    return tuple(dict.fromkeys(found))


def _alike(prompt: Prompt, api: Mapping[str, Any]) -> bool:
    other = {str(k): v.get("class_type") for k, v in api.items() if isinstance(v, Mapping)}
    return {key: node["class_type"] for key, node in prompt.items()} == other


def _graph_findings(document: Document) -> Iterator[Finding]:
    used: set[str] = set()
    for graph in (document.root, *document.definitions.values()):
        used |= {node.type for node in graph.nodes.values()}
        for node in graph.nodes.values():
            yield from _node_findings(node, graph, document)
    for name, graph in document.definitions.items():
        if name not in used:
            yield _finding(
                "unused-definition", f"the sub-graph {graph.name or name!r} is never used", graph.where
            )


def _node_findings(node: Node, graph: Graph, document: Document) -> Iterator[Finding]:
    if node.type not in document.definitions and _is_uuid(node.type):
        yield _finding(
            "no-definition", "an instance of a sub-graph that the file does not define", node.where
        )
    group = group_name(node.type)
    if group is not None and group not in document.groups:
        yield _finding("no-definition", f"the group node {group!r} has no definition here", node.where)
    for at, slot in enumerate(node.inputs):
        if slot.link is not None:
            yield from _link_findings(node, at, slot.link, graph, f"{node.where}.inputs[{at}].link")
    for name, count in Counter(s.name for s in node.inputs if s.name).items():
        if count > 1:
            yield _finding("same-name", f"{count} inputs are called {name!r}", f"{node.where}.inputs")


def _is_uuid(text: str) -> bool:
    try:
        return len(text) == 36 and str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _link_findings(node: Node, at: int, key: str, graph: Graph, where: str) -> Iterator[Finding]:
    link = graph.links.get(key)
    if link is None:
        yield _finding("no-link", f"names the link {key}, which does not exist", where)
        return
    if (link.target, link.target_slot) != (node.id, at):
        stale = f"the link {key} is listed as going elsewhere; the input's own entry counts"
        yield _finding("stale-link", stale, where)
    origin = graph.nodes.get(link.origin)
    if origin is None:
        if not link.origin.startswith("-"):
            yield _finding(
                "no-source", f"the link {key} comes from the node {link.origin}, which is not there", where
            )
    elif link.origin_slot < len(origin.outputs) and link.target != OUT_ID:
        given, wanted = origin.outputs[link.origin_slot].type, node.inputs[at].type
        if not fits(given, wanted):
            yield _finding("type-mismatch", f"gets {given!r} where {wanted!r} is wanted", where)


def _prompt_findings(prompt: Prompt, schemas: Mapping[str, NodeSchema]) -> Iterator[Finding]:
    for circle in _circles(prompt):
        yield _finding("circle", f"nodes feed each other in a circle: {' > '.join(circle)}", circle[0])
    if prompt and not any(_is_output(node["class_type"], schemas) for node in prompt.values()):
        yield _finding("no-output", "no node saves or shows anything, so nothing would run", "$")
    for key, node in prompt.items():
        schema = schemas.get(node["class_type"])
        if schema is not None:
            yield from _inputs_findings(key, node["inputs"], schema)


def _is_output(kind: str, schemas: Mapping[str, NodeSchema]) -> bool:
    schema = schemas.get(kind)
    return schema is None or schema.output_node or kind.startswith(("Save", "Preview"))


def _inputs_findings(key: str, given: Mapping[str, Any], schema: NodeSchema) -> Iterator[Finding]:
    for item in schema.of_kind("required", "optional"):
        where = f"{key}.inputs.{item.name}"
        value = given.get(item.name)
        if item.name not in given:
            if item.kind == "required" and not item.type.startswith("COMFY_"):
                yield _finding("missing-input", f"{schema.type} needs {item.name} ({item.type})", where)
        elif is_widget(item) and not is_link(value):
            yield from _value_findings(item, value, where)


def _value_findings(item: InputSchema, value: Any, where: str) -> Iterator[Finding]:
    low, high = item.options.get("min"), item.options.get("max")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if low is not None and value < low:
            yield _finding("out-of-range", f"{value} is below the least allowed, {low}", where)
        if high is not None and value > high:
            yield _finding("out-of-range", f"{value} is above the most allowed, {high}", where)
    if item.choices and isinstance(value, (str, int, float)) and value not in item.choices:
        yield _finding(
            "not-offered", f"{value!r} is not among the {len(item.choices)} choices offered", where
        )


def _circles(prompt: Prompt) -> Iterator[list[str]]:
    """Circles among the links, one for each node that closes one. Works without recursion."""
    done: set[str] = set()
    for start in prompt:
        path: dict[str, Iterator[str]] = {}
        if start not in done:
            path[start] = _sources(prompt[start])
        while path:
            key = next(reversed(path))
            following = next(path[key], None)
            if following is None:
                done.add(key)
                del path[key]
            elif following in path:
                yield [*list(path)[list(path).index(following) :], following]
                done.add(following)
            elif following in prompt and following not in done:
                path[following] = _sources(prompt[following])


def _sources(node: Mapping[str, Any]) -> Iterator[str]:
    return (str(value[0]) for value in node["inputs"].values() if is_link(value))
