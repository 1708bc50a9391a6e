"""`comfy.comfy_types`: names of socket types, and classes for annotations."""

from typing import Any

from noderack_compat.missing import gap

from comfy.comfy_types.node_typing import IO, CheckLazyMixin, ComfyNodeABC, InputTypeDict

__getattr__ = gap(__name__)
__all__ = ["IO", "CheckLazyMixin", "ComfyNodeABC", "FileLocator", "InputTypeDict", "UnetWrapperFunction"]
FileLocator = dict[str, str]
UnetWrapperFunction = Any
