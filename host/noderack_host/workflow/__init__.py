"""Workflow files: read any of them, convert them to the form that a host runs, name what they need.

workflow = read_workflow(Path("picture.png"))
workflow.node_uses()                        # node types, and the packs the file names for them
workflow.model_uses()                       # model files, and where the file says they are
workflow.prompt(schemas)                    # the API form, with notes on whatever was not certain
"""

from __future__ import annotations

from noderack_host.workflow.errors import Note, WorkflowError
from noderack_host.workflow.model import Workflow
from noderack_host.workflow.read import read_workflow, read_workflows

__all__ = ["Note", "Workflow", "WorkflowError", "read_workflow", "read_workflows"]
