"""Names of packs: when spellings, ids or addresses mean one pack, and when types are of one family."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from noderack_registry.names import bare
from noderack_registry.names import key as normal

if TYPE_CHECKING:
    from noderack_registry.schema import TypeClaim

__all__ = ["bare", "is_source", "normal", "one_family", "repository", "said", "same_pack"]

# A word of a type's name: capitals, a capitalised or small word with its digits, other letters, or marks.
_WORD = re.compile(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+|[^\W\d_]+|[\W_]+")
_OF_ONE_FAMILY = 3  # words in common at the beginning


def is_source(text: str) -> bool:
    """Whether this is a wheel, a folder, a zip or a git address, and not a pack's name."""
    return "://" in text or text.endswith((".whl", ".zip", ".py")) or "/" in text or Path(text).is_dir()


def said(text: str, pins: Mapping[str, str]) -> str:
    """NAME or NAME==VERSION, for film, film==1.2 and film@1.2; a pin counts where no version is said."""
    name, _, version = text.replace("==", "@").partition("@")
    name = normal(name)
    version = version or pins.get(name, "")
    return f"{name}=={version}" if version else name


def repository(address: str) -> str:
    """owner/name of a repository's address, in lower case."""
    return "/".join(address.lower().removesuffix(".git").rstrip("/").split("/")[-2:])


def same_pack(claim: TypeClaim, pack_id: str | None, aux_id: str | None) -> str | None:
    """Why `claim` is of the pack that a workflow names by id and repository, None when it is not.

    A repository of the same name under another owner counts: it moved, or it is a fork.
    """
    place = repository(claim.repository or "")
    if pack_id and normal(claim.pack) == normal(pack_id):
        return "the workflow names this pack"
    if aux_id and place == repository(aux_id):
        return f"the workflow names its repository, {aux_id}"
    if pack_id and bare(pack_id) in (bare(claim.pack), bare(place.rpartition("/")[2])):
        return f"the workflow names it {pack_id}"
    if aux_id and place and place.rpartition("/")[2] == repository(aux_id).rpartition("/")[2]:
        return f"the workflow names {aux_id}; {place} has the same name (it moved, or one is a fork)"
    return None


def one_family(one: str, other: str) -> bool:
    """Whether two types seem to be of one pack: three words in common at the beginning, or an odd ending.

    An odd ending is one that holds more than letters and digits: "(rgthree)", "|pysssss", "//Inspire".
    """
    mine, others = _WORD.findall(one), _WORD.findall(other)
    if mine[:_OF_ONE_FAMILY] == others[:_OF_ONE_FAMILY] and len(mine) >= _OF_ONE_FAMILY:
        return True
    return len(mine) > 1 and mine[-1:] == others[-1:] and not mine[-1].isalnum()
