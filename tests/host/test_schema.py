"""Schemas: an /object_info entry comes back as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from noderack_host.schema import (
    SchemaError,
    from_object_info,
    input_from_spec,
    inputs_from_types,
    read_schemas,
    schemas_from_object_info,
)

OBJECT_INFO = Path(__file__).parents[2].parent / "shared/data/object_info.json"

KSAMPLER = {
    "input": {
        "required": {
            "model": ["MODEL", {"tooltip": "the model"}],
            "seed": ["INT", {"default": 0, "min": 0, "max": 2**64 - 1, "control_after_generate": True}],
            "sampler_name": [["euler", "dpmpp_2m"], {}],
            "latent_image": ["LATENT"],
        },
        "optional": {"device": ["COMBO", {"options": ["default", "cpu"], "advanced": True}]},
        "hidden": {"prompt": "PROMPT", "unique_id": ["UNIQUE_ID"]},
    },
    "input_order": {
        "required": ["model", "seed", "sampler_name", "latent_image"],
        "optional": ["device"],
        "hidden": ["prompt", "unique_id"],
    },
    "output": ["LATENT", ["a", "b"]],
    "output_is_list": [False, True],
    "output_name": ["LATENT", "choice"],
    "name": "KSampler",
    "display_name": "KSampler",
    "description": "",
    "python_module": "nodes",
    "category": "sampling",
    "output_node": False,
    "output_tooltips": ["what came out", None],
    "experimental": True,
    "search_aliases": ["sampler"],
}


def test_entry_survives_unchanged() -> None:
    again = from_object_info("KSampler", KSAMPLER).to_object_info()
    assert json.dumps(again, sort_keys=True) == json.dumps(KSAMPLER, sort_keys=True)
    assert list(again["input"]["required"]) == KSAMPLER["input_order"]["required"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("spec", "type_name", "choices", "default"),
    [
        (("INT", {"default": 3}), "INT", None, 3),
        ((["a", "b"],), "COMBO", ("a", "b"), "a"),
        (("COMBO", {"options": ["x"], "default": "x"}), "COMBO", ("x",), "x"),
        (["LATENT"], "LATENT", None, None),
        (([], {}), "COMBO", (), None),
        ("PROMPT", "PROMPT", None, None),
        ((), "*", None, None),
    ],
)
def test_specs(spec: Any, type_name: str, choices: tuple[str, ...] | None, default: Any) -> None:
    read = input_from_spec("x", spec)
    assert (read.type, read.choices, read.default) == (type_name, choices, default)


def test_declared_order_wins_over_dict_order() -> None:
    types = {"required": {"b": ["INT"], "a": ["INT"], "late": ["INT"]}}
    names = [i.name for i in inputs_from_types(types, {"required": ["a", "b", "gone"]})]
    assert names == ["a", "b", "late"]


@pytest.mark.parametrize("entry", [{"input": 3}, {"output": "IMAGE"}])
def test_unreadable_entry_names_its_type(entry: dict[str, Any]) -> None:
    with pytest.raises(SchemaError, match="Odd: "):
        from_object_info("Odd", entry)


def test_not_json_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "info.json"
    path.write_text("<html>")
    with pytest.raises(SchemaError, match=r"info\.json: not JSON"):
        read_schemas(path)


def test_real_object_info_survives() -> None:
    if not OBJECT_INFO.exists():
        pytest.skip("shared/data/object_info.json is not here")
    entries = json.loads(OBJECT_INFO.read_text())
    for name, schema in schemas_from_object_info(entries).items():
        again = schema.to_object_info()
        assert {key: again[key] for key in entries[name]} == entries[name], name
