"""Which node types a workflow needs, and what it says about the packs they come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from noderack_host.workflow.graph import Node, mapping
from noderack_host.workflow.scope import flatten, with_components
from noderack_host.workflow.virtual import is_virtual

if TYPE_CHECKING:
    from noderack_host.workflow.model import Workflow


@dataclass(frozen=True, slots=True)
class NodeUse:
    """A node type, the ids of the nodes that have it, and the pack that the file names for it.

    `pack_id` is the registry id (`cnr_id`), `version` what stands beside it (often a git commit), `aux_id` an
    `owner/repository`. `others` are the (pack_id, aux_id) of nodes of this type that name another pack.
    """

    type: str
    ids: tuple[str, ...]
    pack_id: str | None = None
    version: str | None = None
    aux_id: str | None = None
    others: tuple[tuple[str | None, str | None], ...] = ()


def node_uses(workflow: Workflow, *, inactive: bool = False) -> tuple[NodeUse, ...]:
    found: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for node_id, node_type, origin in _nodes(workflow, inactive):
        found.setdefault(node_type, []).append((node_id, origin))
    versions = _old_versions(workflow)
    return tuple(_use(kind, places, versions) for kind, places in found.items())


def _nodes(workflow: Workflow, inactive: bool) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    if workflow.ui is not None:
        document = workflow.document()
        _, placed = flatten(document, {}, inactive=inactive)
        for place in with_components(placed, document):
            if place.node.type not in document.components:
                yield place.id, place.node.type, _origin(place.node)
        return
    for key, raw in (workflow.api or {}).items():
        kind = mapping(raw).get("class_type")
        if isinstance(kind, str) and not is_virtual(kind):
            yield str(key), kind, mapping(mapping(raw).get("_meta"))


def _origin(node: Node) -> Mapping[str, Any]:
    return node.properties


def _use(kind: str, places: Iterable[tuple[str, Mapping[str, Any]]], versions: Mapping[str, Any]) -> NodeUse:
    listed = list(places)
    origins = [origin for _, origin in listed]
    named = next((o for o in origins if o.get("cnr_id") or o.get("aux_id")), {})
    pack_id, aux_id, version = (_text(named.get(key)) for key in ("cnr_id", "aux_id", "ver"))
    if version is None and pack_id is not None:
        version = _text(versions.get(pack_id))
    said = dict.fromkeys((_text(o.get("cnr_id")), _text(o.get("aux_id"))) for o in origins)
    others = tuple(one for one in said if any(one) and one != (pack_id, aux_id))
    return NodeUse(kind, tuple(node_id for node_id, _ in listed), pack_id, version, aux_id, others)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value and value != "unknown" else None


def _old_versions(workflow: Workflow) -> Mapping[str, Any]:
    """`extra.node_versions`: pack id to version, as 2024's editors wrote it."""
    return mapping(mapping((workflow.ui or {}).get("extra")).get("node_versions"))
