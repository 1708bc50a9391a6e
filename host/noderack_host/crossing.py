"""What may come out of a pack's process: plain data, tensors, arrays, pictures, and a few values of ours.

The host reads a pack's answers with `received`, which makes nothing but what is in this table, so that no
answer can have the host run anything. `Sender` writes them: it refuses what is not in the table, so that such
a value stays with its pack.
"""

import io
import pickle
import sys
from collections.abc import Callable, Mapping
from multiprocessing.reduction import ForkingPickler
from types import BuiltinFunctionType, FunctionType
from typing import Any

_ARRAYS = frozenset({"_frombuffer", "_reconstruct", "scalar"})
_TENSORS = (
    *("rebuild_tensor", "rebuild_typed_storage", "rebuild_storage_fd", "rebuild_storage_filename"),
    *("rebuild_storage_empty", "rebuild_cuda_tensor"),
)
CROSSES: Mapping[str, frozenset[str]] = {
    "builtins": frozenset({"complex", "range", "slice", "set", "frozenset", "bytearray"}),
    "collections": frozenset({"OrderedDict"}),
    "datetime": frozenset({"date", "datetime", "time", "timedelta", "timezone"}),
    "multiprocessing.resource_sharer": frozenset({"DupFd"}),
    "noderack_host.graph": frozenset({"ExecutionBlocker"}),
    "noderack_host.isolated": frozenset({"Described"}),
    "numpy": frozenset({"dtype", "ndarray"}),
    **dict.fromkeys(("numpy.core.multiarray", "numpy._core.multiarray"), _ARRAYS),
    **dict.fromkeys(("numpy.core.numeric", "numpy._core.numeric"), _ARRAYS),
    "pathlib": frozenset({"PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath"}),
    "PIL.Image": frozenset({"Image"}),
    "torch": frozenset({"Size", "Tensor", "device"}),
    "torch._C": frozenset({"Generator"}),
    "torch.multiprocessing.reductions": frozenset(_TENSORS),
    "torch.nn.parameter": frozenset({"Parameter"}),
    "torch.storage": frozenset({"UntypedStorage"}),
}
"""Module → names of classes, and of the functions that put tensors and arrays together."""


class Refused(pickle.UnpicklingError):
    """An answer wants something made that may not cross."""


def crosses(module: str, name: str) -> bool:
    """Whether what has this name may be made here."""
    return name in CROSSES.get(module, ()) or (module == "torch" and _is_dtype(name))


def _is_dtype(name: str) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(getattr(torch, name, None), torch.dtype)


class _Receiver(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if not crosses(module, name):
            raise Refused(f"it holds {module}.{name}, which may not come out of a pack's process")
        return super().find_class(module, name)


def received(data: bytes, persistent_load: Callable[[Any], Any]) -> Any:
    """What a pack sent; raises Refused."""
    receiver = _Receiver(io.BytesIO(data))
    receiver.persistent_load = persistent_load  # type: ignore[method-assign]
    return receiver.load()


class Sender(ForkingPickler):
    """Writes what may cross; raises PicklingError for anything else."""

    def reducer_override(self, value: Any) -> Any:
        """Is shown every class and function that the reader would have to find."""
        named = isinstance(value, (type, FunctionType, BuiltinFunctionType))
        if named and not crosses(value.__module__, value.__qualname__):
            raise pickle.PicklingError(f"{value.__module__}.{value.__qualname__} may not leave")
        return NotImplemented
