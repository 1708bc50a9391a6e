"""The errors of the diffusion core: one family, each saying what is wrong, where, and what to do."""


class DiffusionError(Exception):
    """Root of all errors that this package raises on purpose."""


class FileError(DiffusionError):
    """A weights file cannot be read: not there, cut short, of another format, or lying about itself."""


class UnknownModelError(DiffusionError):
    """A file's tensors belong to no family that this core knows, or a wanted part is not in it."""


class UnknownNameError(DiffusionError):
    """A sampler or scheduler of that name is not in the table."""

    def __init__(self, kind: str, name: str, known: tuple[str, ...]) -> None:
        super().__init__(f"unknown {kind} {name!r}; known are: {', '.join(known)}")
        self.kind, self.name, self.known = kind, name, known


class MismatchError(DiffusionError):
    """Things that were brought together do not fit: a latent and a model, a prompt and a text tower."""


class AdapterError(DiffusionError):
    """An adapter file (LoRA and kin) cannot be read or fits nothing in the model."""
