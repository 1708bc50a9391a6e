"""What can go wrong with a workflow file, and what is worth saying although nothing went wrong."""

from __future__ import annotations

from dataclasses import dataclass


class WorkflowError(ValueError):
    """A file that is no workflow, or one that cannot be used. `where` is the place in it, as a path."""

    def __init__(self, reason: str, where: str = "") -> None:
        super().__init__(reason, where)
        self.reason = reason
        self.where = where

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}" if self.where else self.reason

    def inside(self, outer: str) -> WorkflowError:
        """The same error seen from further out: the path grows on its left."""
        where = f"{outer}: {self.where}" if self.where else outer
        return WorkflowError(self.reason, where)


@dataclass(frozen=True, slots=True)
class Note:
    """One remark about a workflow or its conversion: a stable code, a sentence, and the place as a path."""

    code: str
    message: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message
