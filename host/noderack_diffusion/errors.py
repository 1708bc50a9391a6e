"""The errors of the diffusion core: one family, each saying what is wrong, where, and what to do."""

import torch


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


class OutOfMemory(DiffusionError, torch.OutOfMemoryError):
    """A device ran out of memory, and nothing is left there that could make way."""

    def __init__(self, network: str, device: str, weights: int, activations: int, told: str) -> None:
        super().__init__(
            f"{device} ran out of memory while {network} computed: {weights / 1e9:.1f} GB of its weights are "
            f"there, {activations / 1e9:.1f} GB were planned for computing, and nothing else can make way. "
            "Use a smaller picture or batch, close other programs that use the device, or keep weights in "
            f"eight bits (NODERACK_WEIGHTS=int8). `nodes memory` shows what is there. ({told})"
        )


def lacks_memory(cause: BaseException) -> bool:
    """Whether it says that memory did not suffice; torch has no error of its own for that on a CPU."""
    if isinstance(cause, OutOfMemory):
        return False  # everything was tried
    return isinstance(cause, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(cause)
