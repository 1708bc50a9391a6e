"""Workflow files: read any of them, convert them to the form that a host runs, name what they need.

    workflow = read_workflow(Path("picture.png"))
    workflow.node_uses()                        # node types, and the packs the file names for them
    workflow.model_uses()                       # model files, and where the file says they are
    workflow.prompt(schemas)                    # the API form, with notes on whatever was not certain

Importing this costs little: the readers are imported when the first file is read.
"""

from __future__ import annotations

from noderack_host.workflow.errors import Note, WorkflowError
from noderack_host.workflow.model import Workflow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Note", "Workflow", "WorkflowError", "read_workflow", "read_workflows"]


def read_workflow(source: Path | bytes | str) -> Workflow:
    """The workflow in a file, in bytes, or in JSON text (a `str` that is no JSON is taken as a path).

    When a file holds several, the first; a note counts the others. Raises WorkflowError with the place when
    the file cannot be opened, is broken, or holds no graph.
    """
    from noderack_host.workflow import read

    return read.read_workflow(source)


def read_workflows(source: Path | bytes | str) -> tuple[Workflow, ...]:
    """Every workflow in a file, at least one. Raises as `read_workflow`."""
    from noderack_host.workflow import read

    return read.read_workflows(source)
