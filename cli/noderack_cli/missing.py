"""What workflows need and a host does not have: node types and model files, as data. Never fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from noderack_host.folder import Host
from noderack_host.folders import ModelFolders

from noderack_cli.generations import Generation

if TYPE_CHECKING:
    from noderack_host.workflow import Workflow
    from noderack_host.workflow.models import ModelUse
    from noderack_host.workflow.uses import NodeUse

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MissingType:
    """A node type that no pack of the host brings; the hints are what the workflows themselves say.

    `others` are the (pack_id, aux_id) of nodes of this type that name another pack than the first.
    """

    type: str
    nodes: tuple[str, ...] = ()
    pack_id: str | None = None
    version: str | None = None
    aux_id: str | None = None
    workflows: tuple[str, ...] = ()
    others: tuple[tuple[str | None, str | None], ...] = ()


@dataclass(frozen=True, slots=True)
class MissingModel:
    """A model file that is in none of the host's folders. `name` may hold sub-folders, with `/`.

    `others` are the (url, sha256) of uses that mean another file of that name than the first.
    """

    name: str
    folder: str | None = None
    url: str | None = None
    sha256: str | None = None
    workflows: tuple[str, ...] = ()
    others: tuple[tuple[str | None, str | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Missing:
    """All that is missing, in the order of the workflows."""

    types: tuple[MissingType, ...] = ()
    models: tuple[MissingModel, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The `--json` form."""
        return {"types": [asdict(t) for t in self.types], "models": [asdict(m) for m in self.models]}

    def __bool__(self) -> bool:
        return bool(self.types or self.models)


@dataclass(frozen=True, slots=True)
class Have:
    """What a host has: node types, and where its models are."""

    node_types: frozenset[str] = frozenset()
    folders: ModelFolders | None = None
    packs: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, host: Host, generation: Generation) -> Have:
        """What `generation` of `host` has, from its record: nothing is imported."""
        active = [pack for pack in generation.packs.values() if not pack.disabled]
        types = frozenset(type_ for pack in active for type_ in pack.node_types)
        packs = {pack.name: pack.version for pack in generation.packs.values()}
        return cls(types, ModelFolders.of(host), packs)

    def model(self, name: str, folder: str | None) -> Path | None:
        """The file of that name, in that folder, or in any when the workflow does not say which."""
        if self.folders is None:
            return None
        for category in [folder] if folder else self.folders.categories:
            try:
                found = self.folders.find(category, name)
            except ValueError:  # a folder name that leads out of models/: nothing is there
                found = None
            if found is not None:
                return found
        return None


def missing(workflows: Mapping[str, Workflow], have: Have) -> Missing:
    """What `workflows` (by file name) need and `have` lacks; the same type or model is listed once."""
    types: dict[str, MissingType] = {}
    models: dict[tuple[str, str | None], MissingModel] = {}
    for file, workflow in workflows.items():
        for use in workflow.node_uses():
            if use.type not in have.node_types:
                types[use.type] = _with_type(types.get(use.type), use, file)
        for model in workflow.model_uses():
            name = model.name.replace("\\", "/")
            if have.model(name, model.folder) is None:
                key = (name, model.folder)
                models[key] = _with_model(models.get(key), name, model, file)
    return Missing(tuple(types.values()), tuple(models.values()))


def _with_type(known: MissingType | None, use: NodeUse, file: str) -> MissingType:
    old = known or MissingType(use.type)
    first = old if old.pack_id or old.aux_id else use
    said = (use.pack_id, use.aux_id), *use.others
    return MissingType(
        use.type,
        (*old.nodes, *(i for i in use.ids if i not in old.nodes)),
        first.pack_id,
        first.version,
        first.aux_id,
        _added(old.workflows, file),
        _added(old.others, *(one for one in said if any(one) and one != (first.pack_id, first.aux_id))),
    )


def _with_model(known: MissingModel | None, name: str, use: ModelUse, file: str) -> MissingModel:
    old = known or MissingModel(name, use.folder)
    first = old if old.url or old.sha256 else use
    said = (use.url, use.sha256)
    other = any(said) and said != (first.url, first.sha256)
    return MissingModel(
        name,
        old.folder or use.folder,
        first.url,
        first.sha256,
        _added(old.workflows, file),
        _added(old.others, *([said] if other else [])),
    )


def _added(some: tuple[T, ...], *more: T) -> tuple[T, ...]:
    return tuple(dict.fromkeys((*some, *more)))
