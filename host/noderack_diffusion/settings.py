"""What the settings beside the weights say in a folder as diffusers keeps it, where shapes cannot tell.

Each function reads the ``config.json`` of its part, and is silent where there is none.
"""

import json
from pathlib import Path
from typing import Any

from noderack_diffusion.errors import FileError, UnknownModelError

Numbers = dict[str, int]
_KINDS = {"epsilon": "eps", "v_prediction": "v"}


def unet(folder: Path | None) -> Numbers:
    """Heads (their number, or their size where that is the same at every level) and norm groups.

    diffusers calls the number of heads "attention_head_dim".
    """
    if folder is None:
        return {}
    said = _read(folder / "unet" / "config.json")
    widths = said.get("block_out_channels") or []
    heads = said.get("num_attention_heads") or said.get("attention_head_dim")
    counts: list[Any] = heads if isinstance(heads, list) else [heads] * len(widths)
    found = _groups(said)
    if len(counts) != len(widths) or not all(isinstance(n, int) and n > 0 for n in counts):
        return found
    sizes = {width // count for width, count in zip(widths, counts, strict=True)}
    if len(set(counts)) == 1:
        return {**found, "heads": counts[0]}
    return {**found, "head_dim": sizes.pop()} if len(sizes) == 1 else found


def vae(folder: Path) -> Numbers:
    """Norm groups."""
    return _groups(_read(folder / "vae" / "config.json"))


def text(part: Path) -> Numbers:
    """Heads, and which form of GELU a text tower has."""
    said, found = _read(part / "config.json"), {}
    if isinstance(said.get("num_attention_heads"), int):
        found["heads"] = said["num_attention_heads"]
    if "hidden_act" in said:
        found["quick_gelu"] = int(said["hidden_act"] == "quick_gelu")
    return found


def prediction(folder: Path | None) -> tuple[str | None, bool]:
    """What the network predicts, as a name of ``sigma.KINDS``, and whether its last time is all noise."""
    said = {} if folder is None else _read(folder / "scheduler" / "scheduler_config.json")
    if str(said.get("_class_name", "")).startswith("EDM"):
        return "edm", False
    kind = said.get("prediction_type")
    if kind is not None and kind not in _KINDS:
        raise UnknownModelError(
            f"{folder} says that its network predicts {kind!r}; known here are {', '.join(_KINDS)}"
        )
    return None if kind is None else _KINDS[kind], bool(said.get("rescale_betas_zero_snr"))


def _groups(said: dict[str, Any]) -> Numbers:
    groups = said.get("norm_num_groups")
    return {"groups": groups} if isinstance(groups, int) else {}


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as cause:
        raise FileError(f"{path} is not JSON; download the folder again") from cause
    return said if isinstance(said, dict) else {}
