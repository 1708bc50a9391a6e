"""Names of packs: how they are compared, which are refused, and which look too much like another."""

from __future__ import annotations

import re
import sys

from packaging.utils import canonicalize_name

from noderack_registry.errors import RegistryError

_VALID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_LOOKALIKE = str.maketrans({"1": "l", "i": "l", "0": "o"})

LONGEST = 100

# Modules of the host and its core: a pack that brings one of these would replace it for everybody.
HOST_MODULES = frozenset(
    {
        "cv2", "comfy", "comfy_api", "comfy_execution", "comfy_extras", "custom_nodes", "execution",
        "folder_paths", "latent_preview", "main", "nodes", "noderack_cli", "noderack_diffusion",
        "noderack_host", "noderack_nodes", "noderack_registry", "noderack_site", "numpy", "pil", "pip",
        "pkg_resources", "safetensors", "server", "setuptools", "tests", "tokenizers", "torch", "torchaudio",
        "torchvision", "transformers", "utils", "uv", "wheel",
    }
)  # fmt: skip

# Names that would mislead whoever installs them.
RESERVED = frozenset(
    {
        "admin", "api", "comfy", "comfyui", "comfyui-core", "comfy-core", "core", "noderack", "noderack-core",
        "nodes", "numpy", "opencv-python", "pillow", "pip", "registry", "root", "safetensors", "setuptools",
        "simple", "torch", "torchaudio", "torchvision", "transformers", "uv", "xformers",
    }
)  # fmt: skip


class BadName(RegistryError):
    """A name no pack can have. `code` says which rule it breaks."""

    code = "name-invalid"


def key(name: str) -> str:
    """The form in which two spellings of one name are equal (PEP 503)."""
    return str(canonicalize_name(name))


def ultra(name: str) -> str:
    """The form in which names that look alike are equal: no separators, l = i = 1, o = 0."""
    return re.sub(r"[-_.]+", "", name).lower().translate(_LOOKALIKE)


def bare(name: str) -> str:
    """A name without what the field puts around it: "comfyui" before or behind, or pr-NAME-<8 hex digits>.

    The second form is the id of a pack installed from a proposed change to NAME.
    """
    plain = re.sub(r"^pr-(.+)-[0-9a-f]{8}$", r"\1", key(name))
    words = [word for word in plain.split("-") if word != "comfyui"]
    return "-".join(words) or plain


def check(name: str) -> str:
    """The key of a name that a pack may have. Raises BadName."""
    if len(name) > LONGEST or not _VALID.fullmatch(name):
        raise BadName(
            f"{name[:LONGEST]!r} is not a name for a pack",
            f"use 1 to {LONGEST} letters, digits, '.', '_' or '-', a letter or digit at both ends",
        )
    return key(name)


def reserved(name: str) -> bool:
    """True for names that are kept back: well-known projects, parts of the host, the standard library."""
    return key(name) in RESERVED or key(name).replace("-", "_") in sys.stdlib_module_names


def one_step_apart(one: str, other: str) -> bool:
    """True if one edit (insert, drop, change or swap of neighbours) turns one name into the other."""
    one, other = sorted((key(one), key(other)), key=len)
    if one == other or len(other) - len(one) > 1:
        return False
    same = next((at for at in range(len(one)) if one[at] != other[at]), len(one))
    if len(one) < len(other):
        return one[same:] == other[same + 1 :]
    if one[same + 1 :] == other[same + 1 :]:
        return True
    return one[same : same + 2] == other[same : same + 2][::-1] and one[same + 2 :] == other[same + 2 :]
