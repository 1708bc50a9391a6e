"""`comfy_execution.utils`: what is running."""

from __future__ import annotations

from typing import NamedTuple

from noderack_compat.missing import gap
from noderack_host.running import current_or_none

__getattr__ = gap(__name__)


class ExecutionContext(NamedTuple):
    prompt_id: str
    node_id: str
    list_index: int | None


def get_executing_context() -> ExecutionContext | None:
    """Prompt, node and call under way, or None."""
    running = current_or_none()
    return ExecutionContext(running.prompt_id, running.node_id, running.list_index) if running else None
