"""What a built-in node says when it cannot do its work."""

from __future__ import annotations


class NodeInputError(ValueError):
    """An input that a node cannot use: what it was, where, and what would do."""


class ModelNotFound(NodeInputError):
    """A model named by a workflow that no folder of the host holds."""

    def __init__(self, category: str, name: str) -> None:
        super().__init__(
            f"there is no {category} file named {name!r} in this host's model folders; "
            f"put it into models/{category}/ or let `nodes install-missing WORKFLOW` fetch it"
        )
        self.category, self.name = category, name


class ImageNotFound(NodeInputError):
    """An input picture that is not there, or a name that points outside its folder."""

    def __init__(self, name: str, folder: str) -> None:
        super().__init__(
            f"there is no picture named {name!r} in the {folder} folder; put it there or pick another"
        )
