"""The `Workflow` value: what was read, and what can be asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from noderack_host.workflow.errors import Note

if TYPE_CHECKING:
    from noderack_host.schema import NodeSchema
    from noderack_host.workflow.convert import Conversion
    from noderack_host.workflow.find import Form
    from noderack_host.workflow.graph import Document
    from noderack_host.workflow.models import ModelUse
    from noderack_host.workflow.uses import NodeUse


@dataclass(frozen=True, slots=True)
class Workflow:
    """One workflow, in the forms that its file carries.

    `form` is the one that counts: the editor's graph where there is one, since it is what the user drew; an
    embedded prompt may describe another graph. `ui` and `api` are the JSON as read. `carrier` names the
    container ("json", "png", ...), `where` the place in it, `notes` what had to be passed over while reading.
    """

    form: Form
    ui: Mapping[str, Any] | None = None
    api: Mapping[str, Any] | None = None
    source: str = ""
    carrier: str = "json"
    where: str = "$"
    notes: tuple[Note, ...] = field(default=())
    _kept: list[Document] = field(default_factory=list, compare=False, repr=False)

    def document(self) -> Document:
        """The editor's graph made regular, read once; an empty one where there is only a prompt."""
        if not self._kept:
            from noderack_host.workflow.graph import read_document

            self._kept.append(read_document(self.ui or {}))
        return self._kept[0]

    def node_uses(self, *, inactive: bool = False) -> tuple[NodeUse, ...]:
        """Node types that running needs, each with its ids and with what the file says about its pack.

        Sub-graphs, group nodes and components are looked into; browser-only nodes are left out, and so are
        muted and bypassed ones unless `inactive`.
        """
        from noderack_host.workflow.uses import node_uses

        return node_uses(self, inactive=inactive)

    def model_uses(self, *, inactive: bool = False) -> tuple[ModelUse, ...]:
        """Model files that the workflow names anywhere, with address and hash where the file has them."""
        from noderack_host.workflow.models import model_uses

        return model_uses(self, inactive=inactive)

    def prompt(self, schemas: Mapping[str, NodeSchema], *, defaults: bool = True) -> Conversion:
        """The API form, converted from the editor's graph by the schemas of the host that shall run it.

        Without a schema for a type its links are kept, and its values where the file itself names them; a
        note says so. Required widgets that the file is too old to have get the schema's default (noted),
        unless `defaults` is off. A workflow that only has the API form comes back as it is otherwise; in it
        no model file is chosen by default. Raises WorkflowError when sub-graphs contain themselves.
        """
        from noderack_host.workflow.convert import convert

        return convert(self, schemas, defaults=defaults)
